"""What runs, how many of it, and how it ended."""

import asyncio
import signal
from collections import defaultdict
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from slipway.apps import store as apps_store
from slipway.apps.models import App, Environment
from slipway.db import Database
from slipway.errors import Invalid
from slipway.events.hub import Hub
from slipway.events.models import SLIPWAY, Actor
from slipway.events.service import Events
from slipway.events.signals import Signals
from slipway.host.client import Host
from slipway.host.protocol import ExitRecord, Exits, Inspect, RunningInstance
from slipway.plan import PROCESS_NAME
from slipway.processes import store
from slipway.processes.models import Crash, InstanceState, ProcessState
from slipway.releases.service import Releases
from slipway.settings import RANKS

MOST_INSTANCES = 16
LAST_LINES = 50
"""Of a log, kept with a crash: a supervisor's own words must not push out the app's."""
LATE_SECONDS = 0.3
"""So long an empty log is waited for, once: most that end unasked say why."""
CRASHED = "process.crashed"
SCALED = "processes.scaled"


class Processes:
    """Signals that it sends: `process.crashed` (environment_id, generation, out_of_memory), and `processes.scaled`
    (environment_id)."""

    def __init__(
        self,
        db: Database,
        events: Events,
        hub: Hub,
        signals: Signals,
        host: Host,
        releases: Releases,
        last_lines: Callable[[str, int], Awaitable[list[str]]],
    ) -> None:
        """`last_lines(unit, limit)` gives the end of a unit's log."""
        self._db = db
        self._events = events
        self._hub = hub
        self._signals = signals
        self._host = host
        self._last_lines = last_lines
        self._releases = releases

    async def list_processes(self, app: App, environment: Environment) -> list[ProcessState]:
        """Each process of the live release with its instances as systemd sees them; empty where nothing is live."""
        release = await self._releases.live_release(environment)
        if release is None:
            return []
        box = await self._host.call(Inspect(environment=environment.id))
        running: dict[str, list[RunningInstance]] = defaultdict(list)
        for one in box.instances:
            if one.instance.release == release.number:
                running[one.instance.process].append(one)
        return [
            ProcessState(
                name=name,
                command=command,
                wanted=wanted(environment, name),
                instances=[
                    InstanceState(one.instance.rank, one.active, one.restarts)
                    for one in sorted(running[name], key=lambda one: one.instance.rank)
                ],
            )
            for name, command in release.processes.items()
            if name != "release"
        ]

    async def scale(self, actor: Actor, app: App, environment: Environment, counts: dict[str, int]) -> Environment:
        """Set how many instances of processes run; takes effect at once, and for later releases.

        Who hears of it may wait until it is so for a while; it goes on where that takes longer.
        """
        release = await self._releases.live_release(environment)
        known = set(release.processes) - {"release"} if release else None
        if known is not None and not known:
            raise Invalid(f"{app.name} is a static site: it has no processes.", field="counts")
        for name, count in counts.items():
            if not PROCESS_NAME.fullmatch(name):
                raise Invalid(f"{name[:40]!r} cannot be the name of a process.", field="counts")
            if known is not None and name not in known:
                raise Invalid(
                    f"{app.name} has no process named {name!r}; it has {', '.join(sorted(known))}.", field=name
                )
            most = RANKS if name == "web" else MOST_INSTANCES
            if not 0 <= count <= most or (name == "web" and count < 1):
                least = 1 if name == "web" else 0
                raise Invalid(f"{name} can have {least} to {most} instances.", field=name)
        async with self._db.transaction() as connection:
            changed = await apps_store.update_scale(connection, environment.id, counts)
            await self._events.record(
                connection, "processes.scaled", actor, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id, counts=counts,
            )  # fmt: skip
        self._hub.publish(f"environment:{environment.id}")
        await self._signals.send(SCALED, environment_id=environment.id)
        return changed

    async def list_crashes(self, environment: Environment, before: int | None = None, limit: int = 20) -> list[Crash]:
        """Newest first."""
        async with self._db.connection() as connection:
            return await store.list_crashes(connection, environment.id, before, limit)

    async def crashes_of(self, environment_id: int, generation: int) -> list[Crash]:
        async with self._db.connection() as connection:
            return await store.list_crashes_of(connection, environment_id, generation)

    async def collect_exits(self) -> None:
        """Take over the exit records that the host agent keeps: each is stored before it is acknowledged."""
        taken: tuple[str, ...] = ()
        while True:
            answer = await self._host.call(Exits(acknowledge=taken))
            if not answer.records:
                return
            for record in answer.records:
                if not record.asked:
                    await self._store_crash(record)
            taken = tuple(record.id for record in answer.records)

    async def _store_crash(self, record: ExitRecord) -> None:
        instance = record.instance
        lines = await self._last_words(record.unit)
        exit_code, signal_name = ending(record)
        async with self._db.transaction() as connection:
            new = await store.insert_crash(
                connection,
                record=record.id,
                environment_id=instance.environment,
                release_number=instance.release,
                generation=instance.generation,
                process=instance.process,
                rank=instance.rank,
                at=datetime.fromtimestamp(record.at, UTC),
                exit_code=exit_code,
                signal=signal_name,
                out_of_memory=record.out_of_memory,
                lines=lines,
            )
            if new:
                environment = await apps_store.get_environment_by_id(connection, instance.environment)
                app = await apps_store.get_app_by_id(connection, environment.app_id)
                await self._events.record(
                    connection, CRASHED, SLIPWAY, team_id=app.team_id, app_id=app.id, environment_id=environment.id,
                    process=instance.process, rank=instance.rank, release=instance.release,
                    exit_code=exit_code, signal=signal_name, out_of_memory=record.out_of_memory,
                )  # fmt: skip
        if new:
            self._hub.publish(f"environment:{instance.environment}")
            await self._signals.send(
                CRASHED,
                environment_id=instance.environment,
                generation=instance.generation,
                out_of_memory=record.out_of_memory,
            )

    async def _last_words(self, unit: str) -> list[str]:
        """The end of its log. That it ended is told by systemd, and journald may not have got so far yet."""
        if lines := await self._last_lines(unit, LAST_LINES):
            return lines
        await asyncio.sleep(LATE_SECONDS)
        return await self._last_lines(unit, LAST_LINES)


def wanted(environment: Environment, process: str) -> int:
    """How many instances of a process an environment wants."""
    return environment.scale.get(process, 1)


def ending(record: ExitRecord) -> tuple[int | None, str | None]:
    """Exit code or signal. The shell around a command says 128 + n where the command was ended by signal n."""
    code = record.exit_code
    if code is not None and code - 128 in set(signal.Signals):
        return None, signal.Signals(code - 128).name
    return code, record.signal
