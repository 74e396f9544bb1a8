"""A server with a kernel of its own, and control groups v2, as every Debian of today boots: up, back, and on time."""

import pytest

from tests.vps.machine.conftest import builds_by
from tests.vps.machines import Machine
from tests.vps.outside import agrees, ask, base_of


def test_on_control_groups_v2_everything_is_up_and_the_example_is_live(machine: Machine) -> None:
    machine.does("booted with a kernel of its own, and the example deployed")
    assert machine.must("stat", "--file-system", "--format=%T", "/sys/fs/cgroup").strip() == "cgroup2fs"
    assert machine.must("systemctl", "list-units", "--failed", "--plain", "--no-legend") == ""
    assert ask(machine, base_of(machine), "/sign-in")[0] == 200
    agrees(machine)
    machine.story.notes(f"Linux {machine.must('uname', '--kernel-release').strip()}")


def test_after_a_reboot_everything_is_as_it_was_and_what_apps_said_before_is_still_read(machine: Machine) -> None:
    before = said(machine)
    assert "listens on port" in before
    machine.does("reboot")
    machine.reboot()
    machine.until(lambda: ask(machine, f"hello.{base_of(machine)}")[0] == 200, "the app answers")
    machine.until(lambda: machine.run("slipway", "status").returncode == 0, "Slipway is well")
    agrees(machine)
    assert before in said(machine)
    machine.must("slipway", "deploy", "hello", "--wait", timeout=300)
    agrees(machine)


def said(machine: Machine) -> str:
    """The first lines of the app's log."""
    return "\n".join(machine.must("slipway", "logs", "hello", "-n", "1000").splitlines()[:3])


@pytest.mark.parametrize("jump", ["+1 day", "-1 day"])
def test_a_clock_that_is_set_by_a_day_in_a_deployment_disturbs_nothing(machine: Machine, jump: str) -> None:
    """The machine's own, of the kernel and of everything on it."""
    builds_by(machine, "sleep 40")
    machine.must("slipway", "deploy", "hello")
    machine.until(lambda: machine.json("deployments", "hello")[0]["state"] == "building", "it builds")
    machine.does(f"the clock is set by {jump} while it builds")
    machine.must("date", "--set", jump)
    agrees(machine)
    assert machine.json("deployments", "hello")[0]["state"] == "live"
    builds_by(machine, "")
    machine.must("slipway", "deploy", "hello", "--wait", timeout=300)
    agrees(machine)
    machine.story.notes("the deployment went live, and the next one too")
