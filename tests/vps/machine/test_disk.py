"""A disk that is slow, as on a server whose neighbours keep it busy."""

from tests.vps.machine.conftest import builds_by
from tests.vps.machine.test_limits import visited
from tests.vps.machines import Machine
from tests.vps.outside import agrees


def test_on_a_slow_disk_a_deployment_takes_its_time_and_visitors_do_not_notice(machine: Machine) -> None:
    builds_by(machine, "seq 1000000 >made.txt")
    with visited(machine) as answered:
        machine.does("the disk does 50 things a second, and 1 MB, while it deploys")
        machine.slow_disk(50, 1)
        machine.must("slipway", "deploy", "hello", "--wait", timeout=600)
        machine.slow_disk(0, 0)
    assert set(answered) == {200}
    agrees(machine)
    live = machine.json("deployments", "hello")[0]
    assert live["state"] == "live"
    machine.story.notes(f"it went live; all {len(answered)} visitors meanwhile were answered")
