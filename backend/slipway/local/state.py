"""The state folder: everything that one local installation is, and where each part lies in it."""

from pathlib import Path

import msgspec

from slipway.errors import Invalid
from slipway.local.linux import Process, is_alive
from slipway.settings import Paths

PRODUCTION_FOLDERS = (
    "opt/slipway",
    "etc/slipway",
    "var/lib/slipway",
    "srv/slipway",
    "var/cache/slipway",
    "var/log/slipway",
    "run/slipway",
)
"""Bound onto the same paths of the machine, inside the mount namespace."""

_LONGEST_SOCKET = 107
"""Bytes in a unix socket's path (unix(7))."""


class Running(msgspec.Struct, frozen=True):
    """The private systemd of a running installation. Kept in the state folder."""

    manager: Process
    helpers: list[Process]
    """journald and the message bus, which systemd stands on."""
    boot: str
    """The kernel's boot id: after a reboot the numbers above mean nothing."""


class State:
    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        if len(str(self.paths.postgresql / ".s.PGSQL.5432")) > _LONGEST_SOCKET:
            raise Invalid(
                f"the state folder's path {self.folder} is too long: sockets in it would pass the "
                f"{_LONGEST_SOCKET} bytes that Linux allows. Choose a shorter one with --state."
            )
        if not all(character.isalnum() or character in "/._-+@" for character in str(self.folder)):
            raise Invalid(
                f"the state folder's path {str(self.folder)!r} has characters that mean something in unit files. "
                "Choose one of letters, digits and / . _ - + @ with --state."
            )

    @property
    def paths(self) -> Paths:
        """The installation's files as seen from outside its namespace."""
        return Paths(self.folder)

    @property
    def settings(self) -> Path:
        return self.paths.etc / "slipway.toml"

    @property
    def private(self) -> Path:
        """What only the private systemd's world needs: the layer over /etc, its record, its boot log."""
        return self.folder / "private"

    @property
    def record(self) -> Path:
        return self.private / "running.json"

    @property
    def boot_log(self) -> Path:
        return self.private / "boot.log"

    @property
    def lock(self) -> Path:
        return self.private / "lock"

    @property
    def journal(self) -> Path:
        return self.folder / "var/log/journal"

    @property
    def command(self) -> Path:
        """The `slipway` that is printed for people to type."""
        return self.folder / "bin/slipway"

    def make_folders(self) -> None:
        for name in ("private", *PRODUCTION_FOLDERS):
            (self.folder / name).mkdir(parents=True, exist_ok=True, mode=0o755)

    def find_running(self) -> Running | None:
        try:
            running = msgspec.json.decode(self.record.read_bytes(), type=Running)
        except FileNotFoundError:
            return None
        return running if running.boot == boot_id() and is_alive(running.manager) else None

    def write_running(self, running: Running) -> None:
        scratch = self.record.with_suffix(".new")
        scratch.write_bytes(msgspec.json.encode(running))
        scratch.rename(self.record)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
