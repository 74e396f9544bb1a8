"""Who takes what of the disk is measured, what would not fit is refused, what nobody needs is pruned; never data."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta

import structlog

from slipway import clock
from slipway.apps.models import App, Environment
from slipway.db import Database
from slipway.disks import filesystems, store
from slipway.disks.models import MIB, AppUsage, FileSystem, Need, app_lacks, box_lacks, is_nearly_full, mib
from slipway.disks.store import Measurable
from slipway.errors import HostRefused, Invalid, SlipwayError
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.host.client import Host
from slipway.host.protocol import DeleteCache, MeasureDisk, RemoveMirror
from slipway.settings import Settings

EVERY_SECONDS = 3600
FIRST_SECONDS = 300
"""From the start until what is due is measured: a start has better things to do."""
MEASURED_AFTER_SECONDS = 10
"""From a build to its measure: what was built is to be started first."""
MEASURED_FOR = timedelta(hours=24)
"""How long a measure holds where nothing is deployed."""
MEASURED_AT_ONCE = 100
"""Of those that are due: each is a unit that starts, and a thousand would keep a core busy for minutes."""
LARGEST_BUDGET = 2**30
"""MiB."""

log = structlog.get_logger()


class Disks:
    def __init__(self, db: Database, host: Host, events: Events, hub: Hub, settings: Settings) -> None:
        self._db = db
        self._host = host
        self._events = events
        self._hub = hub
        self._settings = settings
        self._locks: defaultdict[int, asyncio.Lock] = defaultdict(asyncio.Lock)
        """By app: held while something of it is pruned, so that no deployment begins to use what is taken away."""
        self._asked: set[int] = set()
        self._wake = asyncio.Event()

    # ---- looking

    def file_systems(self) -> list[FileSystem]:
        """Those that Slipway writes to, as they are now."""
        return filesystems.look(self._settings)

    async def list_usages(self, team_ids: Sequence[int] | None) -> list[AppUsage]:
        """What apps took when they were last measured; those that take most first."""
        async with self._db.connection() as connection:
            return await store.list_usages(connection, team_ids, self._settings.disk.app)

    async def usage_of(self, app: App) -> AppUsage:
        async with self._db.connection() as connection:
            found = await store.list_usages(connection, None, self._settings.disk.app, app.id)
        return found[0]

    async def set_budget(self, actor: Actor, app: App, budget: int | None) -> AppUsage:
        """How many MiB an app may take; None: as many as the settings say. What it takes already stays."""
        if budget is not None and not 16 <= budget <= LARGEST_BUDGET:
            raise Invalid(f"A budget is a whole number of MiB from 16 to {LARGEST_BUDGET:,}.", field="budget")
        async with self._db.transaction() as connection:
            await store.put_budget(connection, app.id, budget)
            await self._events.record(
                connection, "disk.budget", actor, team_id=app.team_id, app_id=app.id, budget=budget
            )  # fmt: skip
        self._hub.publish(f"app:{app.id}")
        return await self.usage_of(app)

    # ---- before and while something is deployed

    async def why_not(self, app: App, environment: Environment) -> str | None:
        """Why a build would not fit, once what can be pruned is pruned; None where it does."""
        async with self._locks[app.id]:
            pass  # what is being taken away of it is gone
        need = await self._need(environment)
        if box_lacks(self.file_systems(), need):
            await self._prune(days=0)
        if lack := box_lacks(self.file_systems(), need):
            return await self._box_words(lack, app)
        if app_lacks(await self.usage_of(app), need):
            await self._make_room_within(app)
        if lack := app_lacks(await self.usage_of(app), need):
            return (
                f"There is no room for another build: {lack}. Take something out of its data, delete an environment "
                f"that is not needed, or let it take more: `slipway disk {app.name} --budget MIB`."
            )
        return None

    def nearly_full(self) -> str | None:
        """Why what runs once must end now, before the disk is full for the database too; None where all is well."""
        places = [one for one in self.file_systems() if one.holds != ("logs",)]
        full = is_nearly_full(places, self._settings.disk.reserve * MIB)
        if full is None:
            return None
        return (
            f"This server's disk is nearly full: {mib(full.free)} are left where {full.holds[0]} lie. It was ended so "
            "that the database and the apps that run go on. `slipway disk` shows what takes how much."
        )

    async def _need(self, environment: Environment) -> Need:
        settings = self._settings.disk
        async with self._db.connection() as connection:
            newest = await store.newest_build_bytes(connection, environment.id)
        expected = settings.build * MIB if newest is None else newest
        return Need(expected, settings.reserve * MIB, settings.reserve_inodes)

    async def _box_words(self, lack: str, app: App) -> str:
        usages = await self.list_usages(None)
        own = next((one.total for one in usages if one.app == app.name), 0)
        kinds = {
            "builds": sum(one.builds for one in usages),
            "data": sum(one.data for one in usages),
            "copies of repositories": sum(one.mirror for one in usages),
        }
        taken = ", ".join(f"{name} {mib(size)}" for name, size in kinds.items())
        return (
            f"There is no room for another build: {lack}. Of all apps there are {taken}; of that, {app.name} has "
            f"{mib(own)}. `slipway disk` shows what takes how much: delete what is not needed, or give the server a "
            "larger disk."
        )

    async def _make_room_within(self, app: App) -> None:
        """Take an app's caches away, and measure what is left: it may have made room itself."""
        async with self._db.connection() as connection:
            environments = await store.list_environments_of(connection, app.id)
        for one in environments:
            await self._drop_cache(one)
            try:
                await self._measure(one)
            except HostRefused as error:  # what was known before then stays
                log.warning("disks.measure", environment=one.environment_id, error=error.message)

    # ---- in the background

    def ask(self, environment_id: int) -> None:
        """Something was built: it is measured soon."""
        self._asked.add(environment_id)
        self._wake.set()

    async def look_after(self) -> None:
        """For ever: measure what was asked for soon after, and once an hour all that is due; then prune."""
        loop = asyncio.get_running_loop()
        next_due = loop.time() + FIRST_SECONDS
        while True:
            try:
                await self._measure_asked()
                if loop.time() >= next_due:
                    next_due = loop.time() + EVERY_SECONDS
                    await self._measure_due()
                await self._prune(None)
            except SlipwayError as error:
                log.warning("disks", error=error.message)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_due):
                    await self._wake.wait()
                    await asyncio.sleep(MEASURED_AFTER_SECONDS)
            self._wake.clear()

    async def _measure_asked(self) -> None:
        asked, self._asked = self._asked, set()
        async with self._db.connection() as connection:
            found = [await store.find_measurable(connection, one) for one in sorted(asked)]
        await self._measure_all(filter(None, found))

    async def _measure_due(self) -> None:
        async with self._db.connection() as connection:
            due = await store.list_due(connection, clock.now() - MEASURED_FOR, MEASURED_AT_ONCE)
        await self._measure_all(due)

    async def _measure_all(self, some: Iterable[Measurable]) -> None:
        for one in some:
            try:
                await self._measure(one)
            except HostRefused as error:  # too large to be measured, say: the others are measured all the same
                log.warning("disks.measure", environment=one.environment_id, error=error.message)

    async def _measure(self, one: Measurable) -> None:
        usage = await self._host.call(MeasureDisk(environment=one.environment_id, app=one.app_id))
        async with self._db.transaction() as connection:
            await store.put_usage(connection, one, usage)
        self._hub.publish(f"app:{one.app_id}")

    async def _prune(self, days: int | None = None) -> None:
        """Take away caches and mirrors that were not used for long (`days`, or what the settings say); never data."""
        settings = self._settings.disk
        async with self._db.connection() as connection:
            caches = await store.list_idle_caches(connection, settings.cache_days if days is None else days)
            mirrors = await store.list_idle_mirrors(connection, settings.mirror_days if days is None else days)
        for one in caches:
            async with self._locks[one.app_id]:
                if not await self._is_at_work(one.app_id):
                    await self._drop_cache(one)
        for app_id in mirrors:
            async with self._locks[app_id]:
                if not await self._is_at_work(app_id):
                    await self._host.call(RemoveMirror(app=app_id))
                    async with self._db.connection() as connection:
                        await store.forget_mirror(connection, app_id)
                    log.info("disks.pruned", mirror=app_id)

    async def _is_at_work(self, app_id: int) -> bool:
        async with self._db.connection() as connection:
            return await store.is_at_work(connection, app_id)

    async def _drop_cache(self, one: Measurable) -> None:
        try:
            await self._host.call(DeleteCache(environment=one.environment_id))
        except HostRefused as error:  # a build uses it
            log.info("disks.kept", environment=one.environment_id, error=error.message)
            return
        async with self._db.connection() as connection:
            await store.forget_cache(connection, one.environment_id)
        log.info("disks.pruned", cache=one.environment_id)
