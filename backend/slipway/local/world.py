"""The two worlds that local mode knows: a private systemd of its own, or the login session's."""

import os
import shutil
import subprocess
from pathlib import Path

from slipway import settings as installed
from slipway.errors import Unavailable
from slipway.local import private_systemd
from slipway.local.state import State
from slipway.settings import Mode
from slipway.setup.world import World


class Private:
    """A private systemd in namespaces of its own; users are switched."""

    mode = Mode.LOCAL
    units = Path("/etc/systemd/user")
    systemctl: tuple[str, ...] = ("systemctl", "--user")

    def __init__(self, state: State) -> None:
        self._state = state

    def is_running(self) -> bool:
        return self._state.find_running() is not None

    def begin(self) -> None:
        private_systemd.boot(self._state)

    def entering(self, argv: list[str]) -> list[str]:
        return private_systemd.entering(self._state, argv)

    def end(self) -> None:
        private_systemd.end(self._state)


class Session:
    """The login session's own `systemd --user`; one user for all."""

    mode = Mode.SESSION
    systemctl: tuple[str, ...] = ("systemctl", "--user")

    def __init__(self, state: State) -> None:
        self._state = state
        self._runtime = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
        self.units = self._runtime / "systemd/user"

    def is_running(self) -> bool:
        if not self._state.settings.exists():
            return False
        target = f"slipway-{installed.load(self._state.settings).id}.target"
        asked = subprocess.run(self.entering(["systemctl", "--user", "--quiet", "is-active", target]), check=False)
        return asked.returncode == 0

    def begin(self) -> None:
        for path in self._state.paths.run.rglob("*"):
            if path.is_socket():
                path.unlink()

    def entering(self, argv: list[str]) -> list[str]:
        given = {
            "SLIPWAY_SETTINGS": str(self._state.settings),
            "XDG_RUNTIME_DIR": str(self._runtime),
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={self._runtime}/bus",
        }
        return ["env", *(f"{key}={value}" for key, value in given.items()), *argv]

    def end(self) -> None:
        if not self._state.settings.exists():
            return
        own = f"slipway-{installed.load(self._state.settings).id}"
        stop = ["systemctl", "--user", "stop", f"{own}.target", f"{own}-*", f"{own}.slice"]
        subprocess.run(self.entering(stop), capture_output=True, check=False)
        for unit in self.units.glob(f"{own}[.-]*"):
            shutil.rmtree(unit) if unit.is_dir() and not unit.is_symlink() else unit.unlink()
        subprocess.run(self.entering(["systemctl", "--user", "daemon-reload"]), capture_output=True, check=False)


def choose(state: State) -> World:
    """The best that this machine offers. Raises Unavailable with why neither can work."""
    why_not_private = private_systemd.why_impossible()
    if why_not_private is None:
        return Private(state)
    if os.geteuid() == 0:
        raise Unavailable(
            f"{why_not_private}. Run ./install.sh --try as an ordinary user of this machine instead: it then uses that "
            "user's own systemd."
        )
    session = Session(state)
    asked = subprocess.run(
        session.entering(["systemctl", "--user", "is-system-running"]), capture_output=True, text=True, check=False
    )
    if asked.stdout.strip() not in ("running", "degraded", "starting"):
        raise Unavailable(
            f"{why_not_private}, and you have no working `systemd --user` either "
            f"({(asked.stderr or asked.stdout).strip()}). Slipway needs a real systemd: run it as root, or log in "
            "on a machine that runs systemd (over SSH, not by su or sudo)."
        )
    return session
