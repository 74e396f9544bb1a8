"""systemd over D-Bus: the only place that uses pystemd. Its calls block, so each one here is a short one.

Waiting is by signals. They come over a connection of their own, on which nothing else is called, so that its file
descriptor is readable exactly when there is one. Source: org.freedesktop.systemd1(5).
"""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from pystemd.dbusexc import DBusBaseError
from pystemd.dbuslib import DBus, path_decode, path_encode

from slipway.errors import HostRefused

SYSTEMD = b"org.freedesktop.systemd1"
MANAGER_PATH = b"/org/freedesktop/systemd1"
UNIT_PATHS = b"/org/freedesktop/systemd1/unit"
MANAGER = b"org.freedesktop.systemd1.Manager"
UNIT = b"org.freedesktop.systemd1.Unit"
SERVICE = b"org.freedesktop.systemd1.Service"
SLICE = b"org.freedesktop.systemd1.Slice"
PROPERTIES = b"org.freedesktop.DBus.Properties"
END_OF_CONTAINER = (-1, None)
JOB_SECONDS = 120.0
"""Longest wait for a job that has no time limit of its own."""

Callback = Callable[[str], None]


class UnitState(NamedTuple):
    """A unit as systemd sees it (names as in org.freedesktop.systemd1(5))."""

    active: str
    sub: str
    result: str
    exit_code: int
    """ExecMainCode: 1 exited, 2 killed, 3 dumped; 0 while the main process runs or if there was none."""
    exit_status: int
    main_pid: int
    restarts: int
    started: int
    """ExecMainStartTimestamp in microseconds since the epoch; 0: never started."""

    @property
    def over(self) -> bool:
        return self.sub == "exited" or self.active in ("inactive", "failed")


class Listed(NamedTuple):
    unit: str
    load: str
    active: str
    sub: str


class Systemd:
    """One manager: PID 1's (`user_mode` false) or a user's."""

    def __init__(self, *, user_mode: bool) -> None:
        self._user_mode = user_mode
        self._calls = DBus(user_mode=user_mode)
        self._signals = DBus(user_mode=user_mode)
        self._jobs: dict[str, asyncio.Future[str]] = {}
        self._on_change: list[Callback] = []
        self._held: set[str] = set()
        self._unit_path: list[str] = []

    def open(self, loop: asyncio.AbstractEventLoop) -> None:
        self._calls.open()
        self._signals.open()

        # pystemd keeps attributes on its callbacks and does not hold a reference: plain functions, kept here.
        def changed(message: Any, error: object = None, userdata: object = None) -> None:
            message.process_reply(True)
            unit = path_decode(message.headers["Path"], UNIT_PATHS).decode()
            if unit and message.body and message.body[0] in (UNIT, SERVICE):
                for callback in list(self._on_change):
                    callback(unit)

        def job_removed(message: Any, error: object = None, userdata: object = None) -> None:
            message.process_reply(False)
            _, job, _, result = message.body
            waiter = self._jobs.pop(job.decode(), None)
            if waiter is not None and not waiter.done():
                waiter.set_result(result.decode())

        self._callbacks = (changed, job_removed)
        self._signals.match_signal(SYSTEMD, None, PROPERTIES, b"PropertiesChanged", changed)
        self._signals.match_signal(SYSTEMD, MANAGER_PATH, MANAGER, b"JobRemoved", job_removed)
        self._signals.call_method(SYSTEMD, MANAGER_PATH, MANAGER, b"Subscribe", [])

        def read() -> None:
            try:
                self._signals.process()
            except DBusBaseError:
                # The bus is gone, and with it all we know: a fresh agent begins anew.
                loop.remove_reader(self._signals.get_fd())
                signal.raise_signal(signal.SIGTERM)

        loop.add_reader(self._signals.get_fd(), read)
        # What arrived while the matches were being added is in the connection's own queue, not at the descriptor.
        for _ in range(64):
            loop.call_soon(read)

    def on_change(self, callback: Callback) -> None:
        """Call with a unit's name whenever its properties change."""
        self._on_change.append(callback)

    async def start(self, unit: str) -> None:
        """Start a unit and wait until it runs (Type=exec) or ended (Type=oneshot). Raises HostRefused."""
        try:
            result = await self._job(b"StartUnit", unit)
        except DBusBaseError as error:
            if not _is_not_found(error):
                raise
            # It keeps a list of unit files, by the times of their folders: a file of the same instant is not on it.
            self.read_units_again()
            result = await self._job(b"StartUnit", unit)
        if result == "canceled":
            raise HostRefused(
                f"{unit} was not started: another order took its place, a shutdown say", reason="unavailable"
            )
        if result != "done":
            raise HostRefused(
                f"{unit} did not start ({result}); its log says more: journalctl _SYSTEMD_USER_UNIT={unit}"
                if self._user_mode
                else f"{unit} did not start ({result}); its log says more: journalctl --namespace='*' -u {unit}",
                reason="failed",
            )

    async def stop(self, unit: str, *, seconds: float = JOB_SECONDS) -> None:
        """Stop a unit and wait until all of it is gone; at most `seconds`. One that is not there is stopped."""
        try:
            await self._job(b"StopUnit", unit, seconds=seconds)
        except DBusBaseError as error:
            if not _is_no_such_unit(error):
                raise

    async def reload(self, unit: str) -> None:
        """Have a unit read its configuration again."""
        await self._reload(b"ReloadUnit", unit)

    async def reload_or_start(self, unit: str) -> None:
        """Have a unit read its configuration again, by starting it where it does not run."""
        await self._reload(b"ReloadOrRestartUnit", unit)

    async def _reload(self, method: bytes, unit: str) -> None:
        result = await self._job(method, unit)
        if result != "done":
            raise HostRefused(f"{unit} could not be reloaded ({result})", reason="failed")

    def kill(self, unit: str, number: int) -> None:
        """Send a signal, by number, to every process of a unit; none there is fine."""
        try:
            self._call(b"KillUnit", [_s(unit), _s("all"), (ord("i"), number)])
        except DBusBaseError:
            return

    def hold(self, unit: str) -> None:
        """Keep a unit in systemd's memory until `let_go` or this process ends. What does not run and is not held is
        forgotten at once: each question about it would read its file anew."""
        if unit not in self._held:
            self._call(b"RefUnit", [_s(unit)])
            self._held.add(unit)

    def let_go(self, unit: str) -> None:
        if unit in self._held:
            self._held.remove(unit)
            with suppress(DBusBaseError):  # it knows of no hold: it was started anew
                self._call(b"UnrefUnit", [_s(unit)])

    def forget_failure(self, unit: str) -> None:
        """Let systemd drop a failed unit from memory."""
        try:
            self._call(b"ResetFailedUnit", [_s(unit)])
        except DBusBaseError:
            return

    def read_units_again(self) -> None:
        """daemon-reload: seconds with a thousand units, so only where a unit file changed under a loaded unit."""
        self._call(b"Reload", [])

    def needs_reading_again(self, unit: str) -> bool:
        return bool(self._get(unit, UNIT, b"NeedDaemonReload", b"b"))

    def is_loaded(self, unit: str) -> bool:
        """Whether systemd knows the unit's file. Asking loads it."""
        return bool(self._get(unit, UNIT, b"LoadState", b"s") == b"loaded")

    def is_in_memory(self, unit: str) -> bool:
        """Whether systemd knows of the unit just now. Asking does not load it."""
        try:
            self._call(b"GetUnit", [_s(unit)])
        except DBusBaseError as error:
            if not _is_no_such_unit(error):
                raise
            return False
        return True

    def state(self, unit: str) -> UnitState:
        return UnitState(
            active=self._get(unit, UNIT, b"ActiveState", b"s").decode(),
            sub=self._get(unit, UNIT, b"SubState", b"s").decode(),
            result=self._get(unit, SERVICE, b"Result", b"s").decode(),
            exit_code=self._get(unit, SERVICE, b"ExecMainCode", b"i"),
            exit_status=self._get(unit, SERVICE, b"ExecMainStatus", b"i"),
            main_pid=self._get(unit, SERVICE, b"MainPID", b"u"),
            restarts=self._get(unit, SERVICE, b"NRestarts", b"u"),
            started=self._get(unit, SERVICE, b"ExecMainStartTimestamp", b"t"),
        )

    def control_group(self, slice_unit: str) -> str:
        """The path of a slice's control group below each hierarchy; empty while nothing runs in it."""
        return str(self._get(slice_unit, SLICE, b"ControlGroup", b"s").decode())

    def listed(self, *wanted: str) -> list[Listed]:
        """Units in systemd's memory whose names fit one of the shell patterns."""
        if not wanted:
            return []  # systemd would take it for all
        no_states = [(ord("a"), b"s"), END_OF_CONTAINER]
        patterns = [(ord("a"), b"s"), *(_s(pattern) for pattern in wanted), END_OF_CONTAINER]
        rows = self._call(b"ListUnitsByPatterns", no_states + patterns)
        return [Listed(row[0].decode(), row[2].decode(), row[3].decode(), row[4].decode()) for row in rows or []]

    def unit_path(self) -> list[str]:
        """Where systemd looks for units, first come first served; the same for as long as it runs."""
        if not self._unit_path:
            found = self._calls.get_property(SYSTEMD, MANAGER_PATH, MANAGER, b"UnitPath", b"as")
            self._unit_path = [folder.decode() for folder in found]
        return self._unit_path

    async def _job(self, method: bytes, unit: str, *, seconds: float = JOB_SECONDS) -> str:
        job = self._call(method, [_s(unit), _s("replace")]).decode()
        # No signal is read between the call and this line: they are read by the event loop, which runs us now.
        waiter = self._jobs.setdefault(job, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.wait_for(asyncio.shield(waiter), seconds)
        except TimeoutError:
            self._jobs.pop(job, None)
            return "timeout"

    def _call(self, method: bytes, arguments: "list[tuple[int, Any]]") -> Any:
        return self._calls.call_method(SYSTEMD, MANAGER_PATH, MANAGER, method, arguments).body

    def _get(self, unit: str, interface: bytes, name: bytes, kind: bytes) -> Any:
        path = path_encode(UNIT_PATHS, unit.encode())
        return self._calls.get_property(SYSTEMD, path, interface, name, kind)


def _s(text: str) -> tuple[int, bytes]:
    return ord("s"), text.encode()


def _is_not_found(error: DBusBaseError) -> bool:
    return "not found" in str(error)


def _is_no_such_unit(error: DBusBaseError) -> bool:
    return "not loaded" in str(error) or "NoSuchUnit" in str(error)
