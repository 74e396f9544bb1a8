"""Figures: sampled, stored, put together into coarser steps, dropped when they are old, and shown."""

import asyncio
import itertools
from collections import Counter
from datetime import datetime, timedelta

from slipway import clock
from slipway.apps.models import Environment
from slipway.db import Database
from slipway.errors import HostRefused, Unavailable
from slipway.events.hub import Hub
from slipway.host.client import Host
from slipway.host.protocol import ReadUsage
from slipway.metrics import store
from slipway.metrics.access_log import PANEL, AccessLog, Counted
from slipway.metrics.machine import Machine
from slipway.metrics.models import (
    BoxFigures,
    BoxRow,
    BoxUsed,
    Figures,
    Level,
    Meter,
    Partition,
    Row,
    Span,
    Traffic,
    Used,
    floor,
    is_over,
    levels_of,
    pieces_of,
    span_of,
    wanted_partitions,
)
from slipway.settings import Settings

TOPIC = "figures"


class Metrics:
    """Whoever watches the topic `figures` hears of each new sample."""

    def __init__(self, db: Database, hub: Hub, host: Host, settings: Settings) -> None:
        self._db = db
        self._hub = hub
        self._host = host
        self._settings = settings.metrics
        self.levels = levels_of(settings.metrics)
        self._machine = Machine(settings.paths.srv)
        self._log = AccessLog(settings.paths.log / "access.log", settings.metrics.every_seconds)
        self._meter = Meter()
        self._kills: Counter[int] = Counter()
        self._partitions: set[Partition] = set()
        self._rolled_up: dict[int, datetime] | None = None
        """Step → up to where it is made; None where the database has to say so first."""

    # ---- sampling

    async def sample(self) -> None:
        """One look at everything, stored. Raises Unavailable without a database: then the sample is skipped."""
        now = clock.now()
        used, kills = await self._used()
        box = self._machine.read()
        try:
            if self._rolled_up is None:
                await self._remember()
            oldest = self._oldest(now)
            counted = await asyncio.to_thread(self._log.read, now, oldest, now - self.levels[0].kept)
            await self._make_partitions(self.levels[0], oldest, now)
            await self._store(floor(now, self._settings.every_seconds), used, box, counted, kills)
            await self._roll_up(now)
        except BaseException:
            # How much of it is stored is not known: the database says so before the next sample.
            self._rolled_up = None
            raise
        self._hub.publish(TOPIC)

    def close(self) -> None:
        """Let go of the access log."""
        self._log.close()

    def killed(self, environment_id: int) -> None:
        """The kernel killed an instance because it was at its limit of memory."""
        self._kills[environment_id] += 1

    async def _used(self) -> tuple[dict[int, Used], Counter[int]]:
        """What environments used, and kills that their control groups do not count; nothing without the host agent."""
        kills, self._kills = self._kills, Counter()
        try:
            usage = await self._host.call(ReadUsage())
        except (Unavailable, HostRefused):
            return {}, kills
        counts_kills = any(one.oom_kills is not None for one in usage.environments)
        return self._meter.read(usage), Counter() if counts_kills else kills

    async def _remember(self) -> None:
        """How far everything has come, from the database."""
        self._partitions = set()
        async with self._db.connection() as connection:
            for level in self.levels:
                self._partitions |= await store.list_partitions(connection, level)
            position = await store.find_position(connection)
            self._rolled_up = await store.rolled_up(connection)
        if self._log.position is None or self._log.position != position:
            self._log.go_on(position)

    async def _store(
        self, at: datetime, used: dict[int, Used], box: BoxUsed, counted: Counted, kills: Counter[int]
    ) -> None:
        """The sample, and how far the access log is counted with it: both or nothing."""
        async with self._db.transaction() as connection:
            await store.insert_environments(connection, rows_of(at, used, counted, kills))
            await store.insert_box(connection, box_rows_of(at, box, counted))
            if position := self._log.position:
                await store.put_position(connection, position)

    def _oldest(self, now: datetime) -> datetime:
        """Nothing is added to before this moment: it is put together already, or no longer kept."""
        assert self._rolled_up is not None
        sampled, minute, _ = self.levels
        kept = floor(now - sampled.kept, minute.step)
        return max(kept, min(self._rolled_up.get(minute.step, kept), floor(now, minute.step)))

    # ---- keeping

    async def _make_partitions(self, level: Level, start: datetime, end: datetime) -> None:
        """Those of a time and the one after it, where they are not there."""
        missing = wanted_partitions(level, store.TABLES, start, end) - self._partitions
        if missing:
            async with self._db.transaction() as connection:
                await store.make_partitions(connection, missing, level.width)
            self._partitions |= missing

    async def drop_old(self) -> None:
        """Drop what is older than the settings say, whole partitions of it."""
        now = clock.now()
        for level in self.levels:
            async with self._db.connection() as connection:
                for partition in sorted(await store.list_partitions(connection, level)):
                    if is_over(partition, level, now):
                        await store.drop_partition(connection, partition)
                        self._partitions.discard(partition)

    async def _roll_up(self, now: datetime) -> None:
        """Bring the coarser steps up to date; a sample's length behind, so that late lines are in."""
        end = now - timedelta(seconds=self._settings.every_seconds)
        for finer, coarser in itertools.pairwise(self.levels):
            end = floor(end, coarser.step)
            await self._roll_up_to(end, finer, coarser)

    async def _roll_up_to(self, end: datetime, finer: Level, coarser: Level) -> None:
        """Again from the same moment it makes the same rows: a crash in between neither loses nor doubles."""
        assert self._rolled_up is not None
        start = self._rolled_up.get(coarser.step)
        if start == end:
            return
        if start is None or start > end:  # the first time; or the clock was ahead, and was put right
            start = end - timedelta(seconds=coarser.step)
        start = max(start, floor(end - finer.kept - finer.width, coarser.step))
        await self._make_partitions(coarser, start, end)
        async with self._db.transaction() as connection:
            await store.roll_up(connection, finer, coarser, start, end)
            await store.put_rolled_up(connection, coarser.step, end)
        self._rolled_up[coarser.step] = end

    # ---- looking

    async def of_environment(
        self, environment: Environment, start: datetime | None = None, end: datetime | None = None,
        step: int | None = None,
    ) -> Figures:  # fmt: skip
        """The last hour, where nothing is asked for. Raises Invalid."""
        span = self._span(start, end, step)
        async with self._db.connection() as connection:
            pieces = pieces_of(span, self.levels, await store.rolled_up(connection))
            points = await store.list_points(connection, environment.id, pieces, span.step)
        return Figures(span.start, span.end, span.step, points)

    async def of_box(
        self, start: datetime | None = None, end: datetime | None = None, step: int | None = None
    ) -> BoxFigures:
        """The machine's. Raises Invalid."""
        span = self._span(start, end, step)
        async with self._db.connection() as connection:
            pieces = pieces_of(span, self.levels, await store.rolled_up(connection))
            points = await store.list_box_points(connection, pieces, span.step)
        size = self._machine.size()
        return BoxFigures(span.start, span.end, span.step, size.cores, size.memory, size.disk, points)

    def _span(self, start: datetime | None, end: datetime | None, step: int | None) -> Span:
        return span_of(start, end, step, self._settings, clock.now())


def rows_of(at: datetime, used: dict[int, Used], counted: Counted, kills: Counter[int]) -> list[Row]:
    """One row of each environment and moment of which anything is known."""
    rows = {(number, at): Row(number, at, one) for number, one in used.items()}
    for key, traffic in counted.items():
        if key[0] != PANEL:
            rows.setdefault(key, Row(*key)).traffic = traffic
    for number, times in kills.items():
        rows.setdefault((number, at), Row(number, at)).kills = times
    return list(rows.values())


def box_rows_of(at: datetime, used: BoxUsed, counted: Counted) -> list[BoxRow]:
    """The box's requests are those of all environments and of Slipway's own pages."""
    rows = {at: BoxRow(at, used)}
    for (_, moment), traffic in counted.items():
        one = rows.setdefault(moment, BoxRow(moment))
        one.traffic = together(one.traffic, traffic)
    return list(rows.values())


def together(one: Traffic, other: Traffic) -> Traffic:
    return Traffic(
        requests=one.requests + other.requests,
        answers_2xx=one.answers_2xx + other.answers_2xx,
        answers_3xx=one.answers_3xx + other.answers_3xx,
        answers_4xx=one.answers_4xx + other.answers_4xx,
        answers_5xx=one.answers_5xx + other.answers_5xx,
        answer_seconds=one.answer_seconds + other.answer_seconds,
        slowest_seconds=max(one.slowest_seconds, other.slowest_seconds),
    )
