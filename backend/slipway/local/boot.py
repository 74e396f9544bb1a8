"""The program that becomes the private systemd: `python -m slipway.local.boot STATE GROUP`.

It moves into the installation's control groups first, then into namespaces of its own, mounts the private view,
starts journald and a message bus, and last the service manager. When that answers it writes the record of what
runs, and ends; the manager stays. What it cannot do it says on standard error, and exits with 1.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from slipway.errors import SlipwayError, Unavailable
from slipway.local import cgroups, linux, view
from slipway.local.linux import Process, find_process
from slipway.local.state import Running, State, boot_id

_JOURNALD = "/lib/systemd/systemd-journald"
_MANAGER = "/lib/systemd/systemd"
_PATIENCE = 30.0
"""Seconds that each part may take until it answers."""


def environment() -> dict[str, str]:
    """All that the manager, and whatever enters its world, is given: nothing of the caller's own is passed on."""
    bus = f"unix:path={view.RUNTIME}/bus"
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/root",
        "USER": "root",
        "LOGNAME": "root",
        "XDG_RUNTIME_DIR": str(view.RUNTIME),
        "DBUS_SESSION_BUS_ADDRESS": bus,
        # Root's own user units are not part of this, and Debian shows /etc/systemd/user a second time in /etc/xdg.
        "XDG_CONFIG_HOME": "/run/systemd/no-config",
        "XDG_DATA_HOME": "/run/systemd/no-data",
        "XDG_CONFIG_DIRS": "/run/systemd/no-config",
        "XDG_DATA_DIRS": "/usr/local/share:/usr/share",
    }


def boot(state: State, group: str) -> None:
    cgroups.enter(group)
    linux.unshare_mounts()
    linux.unshare_cgroups()
    view.establish(state, group)
    journald = _start([_JOURNALD], answers=Path("/run/systemd/journal/stdout").is_socket)
    bus_address = environment()["DBUS_SESSION_BUS_ADDRESS"]
    bus = _start(
        ["/usr/bin/dbus-daemon", "--session", f"--address={bus_address}", "--nofork", "--nopidfile"],
        answers=(view.RUNTIME / "bus").is_socket,
    )
    manager = _start([_MANAGER, "--user", "--log-target=journal"], answers=_manager_answers)
    _open_to_other_users()
    state.write_running(Running(manager, [journald, bus], boot_id()))


def _start(argv: list[str], *, answers: Callable[[], bool]) -> Process:
    process = subprocess.Popen(argv, env=environment(), cwd="/", stdin=subprocess.DEVNULL)
    deadline = time.monotonic() + _PATIENCE
    while not answers():
        if process.poll() is not None:
            raise Unavailable(f"{argv[0]} ended at once with {process.returncode}; what it said stands above")
        if time.monotonic() > deadline:
            raise Unavailable(f"{argv[0]} did not answer within {_PATIENCE:.0f} s")
        time.sleep(0.01)
    found = find_process(process.pid)
    if found is None:
        raise Unavailable(f"{argv[0]} ended at once; what it said stands above")
    return found


def _open_to_other_users() -> None:
    """A user manager expects units of one user only: let those of others say that they are ready (sd_notify(3)).

    The message bus and the manager's own socket stay root's.
    """
    sockets = view.RUNTIME / "systemd"
    view.RUNTIME.chmod(0o711)
    sockets.chmod(0o711)
    (sockets / "notify").chmod(0o777)
    (sockets / "private").chmod(0o600)
    (view.RUNTIME / "bus").chmod(0o600)


def _manager_answers() -> bool:
    if not (view.RUNTIME / "systemd/private").is_socket():
        return False
    state = subprocess.run(
        ["systemctl", "--user", "is-system-running"], env=environment(), capture_output=True, text=True, check=False
    )
    return state.stdout.strip() in ("running", "degraded")


def main() -> int:
    folder, group = sys.argv[1:]
    os.umask(0o022)
    try:
        boot(State(Path(folder)), group)
    except (SlipwayError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
