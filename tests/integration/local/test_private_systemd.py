"""The private systemd: real, complete, and unseen by the rest of the machine."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from slipway import settings as installed
from slipway.errors import Conflict
from slipway.local import cgroups
from slipway.local.private_systemd import entering, group_name
from slipway.local.state import Running, State
from slipway.local.up import begin
from slipway.local.world import Private
from slipway.setup import files

pytestmark = pytest.mark.usefixtures("root_without_systemd")
PARENTS = ("/etc", "/opt", "/srv", "/var/lib", "/var/cache", "/var/log", "/run", "/etc/systemd/user")


@pytest.fixture
def root_without_systemd() -> None:
    assert os.geteuid() == 0, "these tests need root: they start a systemd of their own"
    assert Path("/proc/1/comm").read_text().strip() != "systemd", (
        "these tests need a machine without systemd as process 1"
    )


@pytest.fixture
def state() -> Iterator[State]:
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as folder:
        one = State(Path(folder))
        try:
            yield one
        finally:
            Private(one).end()


def inside(state: State, *argv: str) -> str:
    ended = subprocess.run(entering(state, list(argv)), capture_output=True, text=True, check=False, timeout=60)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


def unit(state: State, *command: str, properties: tuple[str, ...] = ()) -> str:
    options = [option for name in properties for option in ("-p", name)]
    return inside(state, "systemd-run", "--user", "--wait", "--pipe", "--quiet", "--collect", *options, *command)


def listing() -> dict[str, set[str]]:
    return {parent: set(os.listdir(parent)) for parent in PARENTS}


def test_it_is_a_systemd_with_everything_started(state: State) -> None:
    begin(state)
    assert inside(state, "systemctl", "--user", "is-system-running") == "running"


def test_nothing_is_written_outside_the_state_folder(state: State) -> None:
    before = listing(), Path("/proc/self/mountinfo").read_text(), Path("/etc/passwd").read_text()
    begin(state)
    inside(state, "useradd", "--system", "--no-log-init", "--no-create-home", "visitor")
    inside(state, "touch", "/etc/systemd/user/visitor.service", "/opt/visitor", "/var/lib/visitor", "/run/visitor")
    while_running = listing(), Path("/proc/self/mountinfo").read_text(), Path("/etc/passwd").read_text()
    Private(state).end()
    assert before == while_running
    assert listing() == before[0]


def test_processes_of_the_machine_stay_in_their_control_groups(state: State) -> None:
    before = {pid: Path(f"/proc/{pid}/cgroup").read_text() for pid in (1, os.getpid())}
    begin(state)
    assert {pid: Path(f"/proc/{pid}/cgroup").read_text() for pid in (1, os.getpid())} == before


def test_the_end_leaves_no_process_and_no_control_group(state: State) -> None:
    begin(state)
    group = group_name(state)
    stubborn = ("systemd-run", "--user", "--collect", "-p", "TimeoutStopSec=1")
    inside(state, *stubborn, "sh", "-c", "trap '' TERM; setsid sleep 1000 & sleep 1000")
    members = cgroups.members(group)
    assert len(members) >= 4
    Private(state).end()
    assert cgroups.groups(group) == []
    assert not [pid for pid in members if Path(f"/proc/{pid}").exists() and "Z" not in _state_of(pid)]


def _state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[0]
    except FileNotFoundError:
        return "Z"


def test_units_run_as_other_users_and_may_say_that_they_are_ready(state: State) -> None:
    begin(state)
    ready = ("User=nobody", "Type=notify", "NotifyAccess=all")
    assert unit(state, "id", "-un", properties=("User=nobody",)) == "nobody"
    inside(
        state, "systemd-run", "--user", "--quiet", *(f"--property={name}" for name in ready), "--unit=ready",
        "sh", "-c", "systemd-notify --ready; sleep 1000",
    )  # fmt: skip
    assert inside(state, "systemctl", "--user", "is-active", "ready.service") == "active"


def test_hardening_of_units_works(state: State) -> None:
    begin(state)
    hard = ("User=nobody", "ProtectHome=yes", "ProtectSystem=strict", "ProtectKernelTunables=yes", "PrivateDevices=yes")
    assert unit(state, "sh", "-c", "ls /root /home 2>&1 | grep -c denied; touch /usr/x 2>&1 | grep -o Read-only",
                properties=hard).split() == ["2", "Read-only"]  # fmt: skip


def test_memory_of_a_unit_is_limited(state: State) -> None:
    begin(state)
    eat = (
        "systemd-run --user --wait --quiet --collect -p MemoryMax=30M python3 -c 'x = bytearray(100_000_000)'; echo $?"
    )
    assert inside(state, "sh", "-c", eat) != "0"


def test_a_resumed_one_has_its_users_and_logs(state: State) -> None:
    begin(state)
    inside(state, "useradd", "--system", "--no-log-init", "--no-create-home", "visitor")
    unit(state, "systemd-cat", "echo", "I was here")
    Private(state).end()
    begin(state)
    assert inside(state, "id", "-un", "visitor") == "visitor"
    assert "I was here" in inside(state, "journalctl", "--no-pager", "--quiet", "--output=cat")


def test_a_second_start_finds_the_first(state: State) -> None:
    begin(state)
    first = state.find_running()
    begin(state)
    assert state.find_running() == first


def test_it_starts_again_after_it_was_killed(state: State) -> None:
    begin(state)
    running = state.find_running()
    assert running is not None
    os.kill(running.manager.pid, signal.SIGKILL)
    while state.find_running() is not None:
        time.sleep(0.01)
    begin(state)
    assert inside(state, "systemctl", "--user", "is-system-running") == "running"


def test_a_number_that_another_process_has_now_is_not_taken_for_it(state: State) -> None:
    begin(state)
    running = state.find_running()
    assert running is not None
    another = msgspec.structs.replace(running.manager, started=running.manager.started + 1)
    state.write_running(Running(another, running.helpers, running.boot))
    assert state.find_running() is None
    state.write_running(running)


def test_two_beside_each_other_share_no_port_user_or_name(state: State) -> None:
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as folder:
        other = State(Path(folder))
        try:
            one, two = begin(state), begin(other)
            assert one.id != two.id
            assert one.apps.first_port + one.apps.places * 24 <= two.apps.first_port or (
                two.apps.first_port + two.apps.places * 24 <= one.apps.first_port
            )
            assert not set(range(one.apps.first_uid, one.apps.first_uid + one.apps.uids)) & set(
                range(two.apps.first_uid, two.apps.first_uid + two.apps.uids)
            )
            inside(state, "touch", "/opt/slipway/only-here")
            assert inside(other, "ls", "/opt/slipway") == ""
        finally:
            Private(other).end()


def test_one_whose_ports_another_running_one_holds_does_not_start(state: State) -> None:
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as folder:
        other = State(Path(folder))
        settings = begin(state)
        other.make_folders()
        taken = msgspec.structs.replace(settings, installation=installed.Installation(id="zzzz", mode=settings.mode))

        files.write_settings(other.settings, taken)
        with pytest.raises(Conflict, match=f"installation {settings.id}, running"):
            begin(other)


def test_a_command_can_be_entered_only_while_it_runs(state: State) -> None:
    command = [sys.executable, "-m", "slipway.local", "enter", "--state", str(state.folder), "--", "true"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "is not running" in ended.stderr


def test_the_callers_environment_does_not_reach_it(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_CALLER", "x")
    begin(state)
    assert "SECRET_OF_THE_CALLER" not in unit(state, "env") + inside(state, "env")
