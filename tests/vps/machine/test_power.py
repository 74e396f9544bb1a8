"""Power that is cut: what the kernel had not written to the disk is lost, and nothing that Slipway said is done."""

import hashlib
import json
from typing import Any

import pytest

from tests.integration.deployments.faults import CONTROL, Faults
from tests.vps.boxes import OnServer
from tests.vps.conftest import Provider, commit
from tests.vps.machine.conftest import builds_by
from tests.vps.machines import Machine
from tests.vps.outside import agrees, ask, base_of

MADE = "".join(f"{number}\n" for number in range(1, 300_001)).encode()
KEEPS = "sysctl --quiet vm.dirty_writeback_centisecs=0 vm.dirty_expire_centisecs=360000 vm.dirty_background_ratio=90"
"""Nothing is written until somebody waits for it: else half a minute may pass in which all gets there by itself."""


@pytest.fixture
def kept(machine: Machine, provider: Provider) -> Machine:
    """One whose kernel holds back what it is not made to write, with something new to deploy, which its build makes
    more of."""
    builds_by(machine, "seq 300000 >made.txt")
    (provider.folder / "hello" / "change").write_text(
        f"{machine.json('releases', 'hello')[0]['name']} is the last one\n"
    )
    commit(provider.folder / "hello")
    machine.must("sh", "-c", KEEPS)
    return machine


def whole(machine: Machine, provider: Provider) -> None:
    """Of the live release, not a byte is missing."""
    live = next(one for one in machine.json("releases", "hello") if one["live"])
    build = machine.must("sh", "-c", "ls -d /srv/slipway/builds/*/app/made.txt | sort -V | tail -n 1").strip()
    assert build, live
    assert machine.must("sha256sum", build).split()[0] == hashlib.sha256(MADE).hexdigest()
    folder = build.removesuffix("/made.txt")
    for name in ("server.py", "change", "page.html"):
        published = (provider.folder / "hello" / name).read_bytes()
        assert machine.must("sha256sum", f"{folder}/{name}").split()[0] == hashlib.sha256(published).hexdigest()


def test_what_was_told_to_be_live_is_live_and_whole_after_a_power_cut(kept: Machine, provider: Provider) -> None:
    kept.must("slipway", "deploy", "hello", "--wait", timeout=300)
    kept.does("power cut as soon as a deployment was told to be live, with a kernel that writes nothing by itself")
    kept.cut_power()
    agrees(kept)
    assert kept.json("deployments", "hello")[0]["state"] == "live"
    whole(kept, provider)
    kept.must("slipway", "deploy", "hello", "--wait", timeout=300)
    agrees(kept)
    kept.story.notes("it is, and every byte of it is there")


def test_a_power_cut_while_it_builds_leaves_the_old_release_and_the_deployment_goes_on(
    machine: Machine, provider: Provider
) -> None:
    builds_by(machine, "sleep 40")
    machine.must("sh", "-c", KEEPS)
    machine.must("slipway", "deploy", "hello")
    machine.until(lambda: machine.json("deployments", "hello")[0]["state"] == "building", "it builds")
    machine.does("power cut while it builds")
    machine.cut_power()
    machine.until(lambda: ask(machine, f"hello.{base_of(machine)}")[0] == 200, "the app answers")
    agrees(machine)
    assert machine.json("deployments", "hello")[0]["state"] == "live"
    machine.story.notes("it was built anew, and is live")


def test_a_power_cut_just_after_the_switch_leaves_one_whole_release_live(kept: Machine, provider: Provider) -> None:
    before = kept.must("sh", "-c", "echo /srv/slipway/live/*.*").split()
    kept.must("slipway", "deploy", "hello")
    # Nothing stands between the rename and the cut but a line that is told.
    kept.must("bash", "-c", f"cd /srv/slipway/live && while [ -e {before[0]} ]; do :; done", timeout=120)
    kept.does("power cut as soon as the route marker was renamed")
    kept.cut_power()
    agrees(kept)
    is_live_and_whole(kept, provider)


def test_a_power_cut_between_the_rename_and_its_commit_leaves_one_whole_release_live(
    kept: Machine, provider: Provider
) -> None:
    faults = FaultsOf(kept)
    try:
        faults.arm("verb", 1, "hold after", only="switch")
        kept.must("slipway", "deploy", "hello")
        kept.until(lambda: bool(faults.counted()["failed"]), "the switch has been made")
        assert kept.json("deployments", "hello")[0]["state"] == "switching", "nothing of it is in the database"
        kept.does("power cut after the route marker was renamed, before the database was told")
        kept.cut_power()
    finally:
        faults.end()
    agrees(kept)
    is_live_and_whole(kept, provider)


def is_live_and_whole(machine: Machine, provider: Provider) -> None:
    """What was deployed when the power was cut; and so is what is deployed next."""
    ended = machine.json("deployments", "hello")[0]
    assert ended["state"] == "live", "the switch had been made"
    whole(machine, provider)
    machine.story.notes(f"it is live: {ended['reason'] or 'the switch was made for good'}")
    machine.must("slipway", "deploy", "hello", "--wait", timeout=300)
    agrees(machine)


class FaultsOf(Faults):
    """Of a machine, whose sockets are not to be reached from here."""

    def __init__(self, machine: Machine) -> None:
        super().__init__(OnServer(machine.files(), 443, machine))
        self._machine = machine

    def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = json.loads(self._machine.must("python3", "-c", TELL, CONTROL, json.dumps(order)))
        return answer


TELL = """
import socket, sys
control = socket.socket(socket.AF_UNIX)
control.connect(sys.argv[1])
control.sendall(sys.argv[2].encode() + b"\\n")
print(control.makefile().readline())
"""
