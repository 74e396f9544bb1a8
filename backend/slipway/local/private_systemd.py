"""The private systemd of an installation: boot it, enter its world, end it."""

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import slipway
from slipway import settings as installed
from slipway.errors import Conflict, Unavailable
from slipway.local import blocks, cgroups
from slipway.local.boot import environment
from slipway.local.linux import Process, is_alive
from slipway.local.state import Running, State

_PROGRAMS = ("/lib/systemd/systemd", "/lib/systemd/systemd-journald", "/usr/bin/dbus-daemon", "/usr/bin/nsenter")
_CODE = str(Path(slipway.__file__).parents[1])
"""Where this very Slipway lies, for the program that boots."""
_STOP_PATIENCE = 90.0
"""Seconds for every unit to stop; systemd kills what does not within its own time."""


def why_impossible() -> str | None:
    """What keeps a private systemd from running here, or None."""
    if os.geteuid() != 0:
        return "a private systemd needs root"
    if Path("/proc/1/comm").read_text().strip() == "systemd":
        return "systemd is this machine's own process 1, and owns the control groups that another would need"
    missing = [program for program in _PROGRAMS if not Path(program).exists()]
    if missing:
        return f"{', '.join(missing)} must be installed (packages systemd, dbus, util-linux)"
    return None


def group_name(state: State) -> str:
    """The installation's control groups."""
    settings = installed.load(state.settings)
    return blocks.group_name(settings.id, blocks.of(settings.apps))


@contextlib.contextmanager
def locked(state: State) -> Iterator[None]:
    """One `up` or `down` of an installation at a time."""
    state.make_folders()
    with state.lock.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"{state.folder} is just being started or stopped by another command. Wait for it."
            ) from error
        os.set_inheritable(lock.fileno(), False)
        yield


def boot(state: State) -> Running:
    """Boot it, if it does not run; its settings must be there. Raises Unavailable with what the failing part said."""
    if running := state.find_running():
        return running
    if why := why_impossible():
        raise Unavailable(f"{why}.")
    state.make_folders()
    group = group_name(state)
    _clear(state)
    cgroups.create(group)
    with state.boot_log.open("w") as log:
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "slipway.local.boot", str(state.folder), group],
            env={**os.environ, "PYTHONPATH": _CODE},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            check=False,
        )
    running = state.find_running()
    if ended.returncode != 0 or running is None:
        cgroups.end(group)
        raise Unavailable(f"a private systemd could not be started:\n{state.boot_log.read_text()[-4000:]}")
    return running


def _clear(state: State) -> None:
    """Remove what a run that was cut off left: processes, private folders of its units, sockets in the way."""
    cgroups.end(group_name(state))
    for tmp in (Path("/tmp"), Path("/var/tmp")):  # noqa: S108  where systemd puts what PrivateTmp= gives to a unit
        for folder in tmp.glob(f"systemd-private-*-slipway-{installed.load(state.settings).id}-*"):
            shutil.rmtree(folder, ignore_errors=True)
    for path in state.paths.run.rglob("*"):
        if path.is_socket():
            path.unlink()


def entering(state: State, argv: list[str]) -> list[str]:
    """The command that runs `argv` in the installation's world, as its root. Raises Conflict when it is stopped."""
    running = state.find_running()
    if running is None:
        raise Conflict(f"the installation in {state.folder} is not running. Start it with ./install.sh --try.")
    pairs = [f"{key}={value}" for key, value in environment().items()]
    enter = ["nsenter", "--target", str(running.manager.pid), "--mount", "--cgroup", "--wd=/"]
    return [*enter, "--", "env", "-i", *pairs, *argv]


def end(state: State) -> bool:
    """Stop every unit, then the manager, then its helpers, and whatever else is left in its groups. True if it ran."""
    running = state.find_running()
    if running is not None:
        subprocess.run(entering(state, ["systemctl", "--user", "exit"]), capture_output=True, check=False)
        _await_end([running.manager], _STOP_PATIENCE)
        for helper in running.helpers:
            if is_alive(helper):
                os.kill(helper.pid, signal.SIGTERM)
        _await_end(running.helpers, 5.0)
    if state.settings.exists():
        _clear(state)
    state.record.unlink(missing_ok=True)
    return running is not None


def _await_end(processes: list[Process], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)
