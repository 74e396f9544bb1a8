"""What every verb of the agent works with: the installation, its systemd, its memory, and its folders."""

import asyncio
import grp
import os
import pwd
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

from slipway.errors import HostRefused
from slipway.folders import FOLDERS
from slipway.host.agent import files
from slipway.host.agent.names import Names
from slipway.host.agent.state import Environment, State
from slipway.host.agent.systemd import Systemd
from slipway.host.agent.templates import Templates
from slipway.host.agent.units import Account, Units
from slipway.host.written import read
from slipway.settings import Mode, Settings

FETCH_USER = "slipway-fetch"
NGINX_USER = "slipway-nginx"
CHECK_USER = "slipway-check"
CERTBOT_USER = "slipway-certbot"
DAEMON_USER = "slipway"


class Folder(NamedTuple):
    """-1 where users are not switched: it is the one user's."""

    path: Path
    mode: int
    owner: int
    group: int


class Box:
    """One installation on this machine. Holds locks and a wake-up, no state: what is so is read from where it lies."""

    def __init__(self, settings: Settings, systemd: Systemd, unit_folder: Path) -> None:
        self.settings = settings
        self.paths = settings.paths
        self.systemd = systemd
        self.unit_folder = unit_folder
        self.names = Names(settings.id)
        self.templates = Templates(self.paths.current / "templates")
        self.units = Units(settings, self.templates)
        self.state = State(self.paths.agent, settings.apps.first_uid, settings.apps.uids)
        self.left_over = asyncio.Event()
        """Something that was to be deleted is still there: it is tried again."""
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def lock(self, guarded: str) -> asyncio.Lock:
        """The lock of one thing (`environment 3`, `nginx`, …); it lives as long as somebody holds or awaits it."""
        lock = self._locks.get(guarded)
        if lock is None:
            lock = self._locks[guarded] = asyncio.Lock()
        return lock

    # ---- folders -------------------------------------------------------------------------------------------------

    def make_folders(self) -> None:
        for folder in self.folders():
            folder.path.parent.mkdir(parents=True, exist_ok=True)
            files.make_folder(folder.path, mode=folder.mode, owner=folder.owner, group=folder.group)
        self.wants_folder.mkdir(parents=True, exist_ok=True)

    def sweep(self) -> None:
        """At the start: what an agent that was killed was just writing. A launcher file holds secrets in clear."""
        for folder in (self.paths.launch, self.paths.nginx, self.paths.agent, self.paths.orders, self.paths.live):
            files.sweep(folder)
        files.sweep(self.unit_folder, prefix=f"{self.names.prefix}-")

    def folders(self) -> list[Folder]:
        """Those above apps' own, each after the one that it lies in."""
        root, most = self.paths.root, 0o7777 if self.settings.switches_users else 0o700
        return [
            Folder(root / one.path, one.mode & most, self.user(one.owner), self.group(one.group)) for one in FOLDERS
        ]

    @property
    def trashes(self) -> tuple[Path, ...]:
        """One for each place that can be a file system of its own: nothing is renamed from one to another."""
        return (self.paths.trash, self.paths.cache / "trash", self.paths.var / "trash")

    @property
    def wants_folder(self) -> Path:
        """Links here are what the apps' target starts at boot."""
        return self.unit_folder / f"{self.names.apps_target}.wants"

    def keep(self, file: Path) -> None:
        """Take away what a person wrote, and keep a copy: it is not lost when Slipway puts its own in that place."""
        folder = self.paths.agent / "replaced"
        folder.mkdir(exist_ok=True, mode=0o700)
        content = b"a link to " + os.readlink(file).encode() if file.is_symlink() else file.read_bytes()
        files.write(folder / f"{self.state.next_number()}-{file.parent.name}-{file.name}", content, mode=0o600)
        files.remove(file)

    def cache(self, environment: int) -> Path:
        return self.paths.cache / "builds" / str(environment)

    # ---- users ---------------------------------------------------------------------------------------------------

    def run_account(self, environment: int) -> Account:
        name = self.names.run_user(environment)
        return Account(name, name) if self.settings.switches_users else Account()

    def build_account(self, environment: int) -> Account:
        """The build user, in the run user's group, so that what it makes can be read by who runs it."""
        if not self.settings.switches_users:
            return Account()
        return Account(self.names.build_user(environment), self.names.run_user(environment))

    def own_account(self, name: str) -> Account:
        return Account(name, name) if self.settings.switches_users else Account()

    def user(self, name: str) -> int:
        """A user's id; -1, which leaves an owner as it is, where users are not switched."""
        return pwd.getpwnam(name).pw_uid if self.settings.switches_users else -1

    def group(self, name: str) -> int:
        return grp.getgrnam(name).gr_gid if self.settings.switches_users else -1

    def run_group(self, environment: Environment) -> int:
        return environment.run_uid if self.settings.switches_users else -1

    # ---- units ---------------------------------------------------------------------------------------------------

    def put_unit(self, unit: str, text: str, *, at_boot: bool = False) -> None:
        """Write a unit file under a name of its own. One that systemd holds with other text is read again.

        One that is there word for word is left: systemd reads all of them anew for each that is written.
        """
        if not self.has_unit(unit, text):
            files.write(self.unit_folder / unit, text)
        if at_boot:
            files.link(self.wants_folder / unit, f"../{unit}")
        self.systemd.hold(unit)
        if not self.systemd.is_loaded(unit) or self.systemd.needs_reading_again(unit):
            self.systemd.read_units_again()

    def remove_unit(self, unit: str) -> None:
        """Take a stopped unit's traces away."""
        files.remove(self.wants_folder / unit)
        files.remove(self.unit_folder / unit)
        self.systemd.forget_failure(unit)
        self.systemd.let_go(unit)
        for folder in (self.units.marks, self.units.back_offs):
            (folder / unit).unlink(missing_ok=True)

    def unit_files(self) -> list[str]:
        """Names of all files in the folder of units, ours and others'. A thousand are listed in less than 1 ms."""
        return os.listdir(self.unit_folder)

    def has_unit(self, unit: str, text: str | None = None) -> bool:
        """Whether there is a file of that name; with this text, where one is given."""
        file = self.unit_folder / unit
        return file.exists() if text is None else read(str(file)) == text

    async def end_unit(self, unit: str, *, seconds: float = 60.0) -> None:
        """Stop a unit on purpose, with all its processes, and take its traces away."""
        (self.units.marks / unit).touch()
        self.systemd.hold(unit)
        await self.systemd.stop(unit, seconds=seconds)
        if not self.systemd.state(unit).over:
            self.systemd.kill(unit, 9)
            await self.systemd.stop(unit, seconds=10)
        if not self.systemd.state(unit).over:
            raise HostRefused(f"{unit} cannot be ended: a process of it does not even obey SIGKILL", reason="failed")
        self.remove_unit(unit)

    @property
    def allows_local_repositories(self) -> bool:
        return self.settings.mode is not Mode.SERVER
