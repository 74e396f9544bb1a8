"""What the machine's operating system is, which updates wait for it, and whether it installs them by itself."""

import asyncio
import os
import re
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import msgspec
import psutil

from slipway import clock
from slipway.db import Database
from slipway.errors import Conflict
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.host.client import Host
from slipway.host.protocol import SetSecurityUpdates
from slipway.settings import Mode, Settings

REBOOT_REQUIRED = Path("/run/reboot-required")
"""Debian's sign that something installed needs a reboot; beside it, which packages left it."""
MOST_BYTES = 4 * 1024 * 1024
ASK_SECONDS = 5.0
RESULT = "pending.json"
NO_SERVER = "This is not a server of Slipway's own: the operating system's updates are its owner's business."


class SecurityUpdates(StrEnum):
    """Whether security updates are installed without anybody's doing."""

    OFF = "off"
    ON = "on"
    BY_MACHINE = "by_machine"
    """Not by Slipway, but by the machine's own settings."""


class Update(msgspec.Struct, frozen=True):
    package: str
    version: str
    installed: str | None
    """The version that is there; null for what is new."""
    security: bool


class Pending(msgspec.Struct, frozen=True):
    """What a look for updates found. `problem` says why the look was not a whole one."""

    looked_at: datetime
    updates: list[Update]
    problem: str | None = None

    @property
    def security(self) -> int:
        return sum(update.security for update in self.updates)


class OperatingSystem(msgspec.Struct, frozen=True):
    name: str
    kernel: str
    up_since: datetime
    is_server: bool
    """Whether the machine is Slipway's to look after. Elsewhere what follows is not known."""
    reboot_needed: bool = False
    reboot_for: list[str] = []
    """Packages that need it."""
    pending: Pending | None = None
    """Null until it was looked for the first time, some minutes after the installation."""
    security_updates: SecurityUpdates | None = None


class Machine:
    """The machine, as far as it is Slipway's to look after."""

    def __init__(self, db: Database, events: Events, host: Host, settings: Settings) -> None:
        self._db = db
        self._events = events
        self._host = host
        self._settings = settings

    async def operating_system(self) -> OperatingSystem:
        uname = os.uname()
        up_since = datetime.fromtimestamp(psutil.boot_time(), clock.now().tzinfo)
        found = OperatingSystem(_name(), uname.release, up_since, is_server=self._settings.mode is Mode.SERVER)
        if not found.is_server:
            return found
        return msgspec.structs.replace(
            found,
            reboot_needed=REBOOT_REQUIRED.exists(),
            reboot_for=packages_of(REBOOT_REQUIRED.with_name("reboot-required.pkgs")),
            pending=read_pending(self._settings.paths.updates / RESULT),
            security_updates=await self._security_updates(),
        )

    async def set_security_updates(self, actor: Actor, *, on: bool) -> OperatingSystem:
        """Raises Conflict on a machine that is not Slipway's, HostRefused where the machine cannot."""
        if self._settings.mode is not Mode.SERVER:
            raise Conflict(NO_SERVER)
        await self._host.call(SetSecurityUpdates(on=on))
        async with self._db.transaction() as connection:
            await self._events.record(
                connection, "security-updates.enabled" if on else "security-updates.disabled", actor
            )
        return await self.operating_system()

    async def _security_updates(self) -> SecurityUpdates:
        if self._settings.paths.security_updates.exists():
            return SecurityUpdates.ON
        return SecurityUpdates.BY_MACHINE if installs_updates(await _apt_settings()) else SecurityUpdates.OFF


async def _apt_settings() -> str:
    """What apt would do on its own, as `apt-config dump` tells it; nothing where there is no apt."""
    try:
        asked = await asyncio.create_subprocess_exec(
            "/usr/bin/apt-config", "dump", "APT::Periodic",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
    except OSError:
        return ""
    try:
        async with asyncio.timeout(ASK_SECONDS):
            said, _ = await asked.communicate()
    except TimeoutError:
        asked.kill()
        await asked.wait()
        return ""
    return said.decode(errors="replace")


def installs_updates(dump: str) -> bool:
    """Whether apt's settings have unattended-upgrades run by itself."""
    said = dict(re.findall(r'^APT::Periodic::(\S+) "([^"]*)";$', dump, re.MULTILINE))
    return said.get("Enable", "1") != "0" and said.get("Unattended-Upgrade", "0") not in ("", "0")


def read_pending(path: Path) -> Pending | None:
    """What was found last. Written by a user of its own: what does not fit counts as nothing."""
    try:
        with path.open("rb") as file:
            return msgspec.json.decode(file.read(MOST_BYTES), type=Pending)
    except (OSError, msgspec.MsgspecError):
        return None


def packages_of(path: Path) -> list[str]:
    """Names, one a line, each once."""
    try:
        with path.open(errors="replace") as file:
            return sorted({line.strip() for line in file.read(65536).splitlines() if line.strip()})
    except OSError:
        return []


def _name(path: Path = Path("/etc/os-release")) -> str:
    """os-release(5): what people call it."""
    try:
        found = re.search(r'^PRETTY_NAME="?([^"\n]+)"?$', path.read_text(errors="replace"), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else os.uname().sysname
