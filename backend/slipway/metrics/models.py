"""Figures: what environments and the box use over time; and the arithmetic from counters to them."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import msgspec

from slipway.errors import Invalid
from slipway.host.protocol import EnvironmentUsage, Usage
from slipway.settings import Metrics

MOST_POINTS = 2000
WANTED_POINTS = 240
"""About how many an answer has, where no step is asked for."""
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
DEFAULT_SPAN = timedelta(hours=1)
STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21_600, 43_200, 86_400)
"""Of answers, in seconds: what people read clocks by."""


# ---- where figures are kept ------------------------------------------------------------------------------------------


class Level(msgspec.Struct, frozen=True):
    """One step of figures, in partitions of one width, kept for some time."""

    step: int
    """Seconds that a row stands for; 0: as it was sampled."""
    name: str
    width: timedelta
    kept: timedelta

    def start_of(self, moment: datetime) -> datetime:
        """Of the partition that a moment is in."""
        return floor(moment, self.width)


def levels_of(settings: Metrics) -> tuple[Level, Level, Level]:
    """From the finest to the coarsest."""
    return (
        Level(0, "sampled", timedelta(hours=1), timedelta(hours=settings.sampled_hours)),
        Level(60, "minute", timedelta(days=1), timedelta(days=settings.minute_days)),
        Level(900, "quarter", timedelta(days=7), timedelta(days=settings.quarter_days)),
    )


class Partition(msgspec.Struct, frozen=True, order=True):
    """`environment_figures_minute_2026112100`: the level's table and the hour in which the partition begins."""

    table: str
    start: datetime

    @property
    def name(self) -> str:
        return f"{self.table}_{self.start:%Y%m%d%H}"

    @classmethod
    def named(cls, name: str) -> "Partition":
        table, _, start = name.rpartition("_")
        return cls(table, datetime.strptime(start, "%Y%m%d%H").replace(tzinfo=UTC))


def wanted_partitions(level: Level, tables: Iterable[str], start: datetime, end: datetime) -> set[Partition]:
    """Those that hold a time, and the next one ahead of its own."""
    starts = []
    moment = level.start_of(start)
    while moment <= end + level.width:
        starts.append(moment)
        moment += level.width
    return {Partition(f"{table}_{level.name}", moment) for table in tables for moment in starts}


def is_over(partition: Partition, level: Level, now: datetime) -> bool:
    """Whether everything in it is older than what is kept, or from a clock that was far ahead."""
    ahead = level.start_of(now) + 2 * level.width + timedelta(days=2)
    return partition.start + level.width <= now - level.kept or partition.start > ahead


def floor(moment: datetime, width: timedelta | int) -> datetime:
    """The last multiple of a span since the epoch."""
    seconds = int(width.total_seconds()) if isinstance(width, timedelta) else width
    return datetime.fromtimestamp(int(moment.timestamp()) // seconds * seconds, UTC)


# ---- what is stored --------------------------------------------------------------------------------------------------


class Traffic(msgspec.Struct):
    """Requests that were answered, by nginx's access log."""

    requests: int = 0
    answers_2xx: int = 0
    answers_3xx: int = 0
    answers_4xx: int = 0
    answers_5xx: int = 0
    answer_seconds: float = 0.0
    slowest_seconds: float = 0.0

    def add(self, status: int, seconds: float) -> None:
        self.requests += 1
        match status // 100:
            case 2:
                self.answers_2xx += 1
            case 3:
                self.answers_3xx += 1
            case 4:
                self.answers_4xx += 1
            case 5:
                self.answers_5xx += 1
        self.answer_seconds += seconds
        self.slowest_seconds = max(self.slowest_seconds, seconds)


class Used(msgspec.Struct, frozen=True):
    """What an environment used between two looks, and what it held at the second."""

    measured_seconds: float = 0.0
    """0: the look before is not known, and what was used neither."""
    cpu_seconds: float = 0.0
    read_bytes: int = 0
    written_bytes: int = 0
    oom_kills: int = 0
    memory: int = 0
    tasks: int = 0


class BoxUsed(msgspec.Struct, frozen=True):
    """The same of the whole machine. `load` is the kernel's mean of the last minute."""

    measured_seconds: float = 0.0
    cpu_seconds: float = 0.0
    received_bytes: int = 0
    sent_bytes: int = 0
    memory: int = 0
    swap: int = 0
    disk: int = 0
    load: float = 0.0


class Row(msgspec.Struct):
    """One environment at one moment: what the look found, and the requests of that time."""

    environment_id: int
    at: datetime
    used: Used | None = None
    kills: int = 0
    """Besides those in `used`."""
    traffic: Traffic = msgspec.field(default_factory=Traffic)


class BoxRow(msgspec.Struct):
    at: datetime
    used: BoxUsed | None = None
    traffic: Traffic = msgspec.field(default_factory=Traffic)


class Meter:
    """Makes amounts of counters: of each look at the counters, what came since the one before."""

    def __init__(self) -> None:
        self._before: Usage | None = None

    def read(self, usage: Usage) -> dict[int, Used]:
        """By environment. A control group that is new began after the look before, so that all it counts is new."""
        before = self._before
        known = {one.environment: one for one in before.environments} if before else {}
        seconds = usage.at - before.at if before else 0.0
        self._before = usage
        return {one.environment: _used(known.get(one.environment), one, seconds) for one in usage.environments}


def _used(before: EnvironmentUsage | None, now: EnvironmentUsage, seconds: float) -> Used:
    if seconds <= 0:
        return Used(memory=now.memory, tasks=now.tasks)
    same = before is not None and before.group == now.group and before.cpu_usec <= now.cpu_usec
    base = before if same else None
    return Used(
        measured_seconds=seconds,
        cpu_seconds=(now.cpu_usec - (base.cpu_usec if base else 0)) / 1e6,
        read_bytes=max(0, now.read_bytes - (base.read_bytes if base else 0)),
        written_bytes=max(0, now.written_bytes - (base.written_bytes if base else 0)),
        oom_kills=max(0, (now.oom_kills or 0) - ((base.oom_kills or 0) if base else 0)),
        memory=now.memory,
        tasks=now.tasks,
    )


# ---- what is asked ---------------------------------------------------------------------------------------------------


class Span(msgspec.Struct, frozen=True):
    """A time, and the step in which it is looked at."""

    start: datetime
    end: datetime
    step: int


class Piece(msgspec.Struct, frozen=True):
    """A part of a span, and the level that it is read from."""

    step: int
    start: datetime
    end: datetime


def span_of(start: datetime | None, end: datetime | None, step: int | None, settings: Metrics, now: datetime) -> Span:
    """What is asked for, made whole. Raises Invalid."""
    for name, moment in (("from", start), ("to", end)):
        if moment is not None and moment.tzinfo is None:
            raise Invalid(f"`{name}` needs its time zone: 2026-01-31T12:00:00Z.", field=name)
        if moment is not None and moment < EARLIEST:
            raise Invalid(f"`{name}` is a moment before there was any server.", field=name)
    end = min(end or now, now)
    start = start or end - DEFAULT_SPAN
    if start >= end:
        raise Invalid("`from` must be before `to`, and in the past.", field="from")
    seconds = (end - start).total_seconds()
    least = _least_step(start, settings, now)
    if step is None:
        wanted = max(least, seconds / WANTED_POINTS)
        step = next((one for one in STEPS if one >= wanted and one % least == 0), STEPS[-1])
    step = -(-max(step, least) // least) * least
    if seconds / step > MOST_POINTS:
        raise Invalid(
            f"That would be more than {MOST_POINTS} points. Ask for a shorter time or a larger step.", field="step"
        )
    return Span(floor(start, step), end, step)


def _least_step(start: datetime, settings: Metrics, now: datetime) -> int:
    """The finest step in which so old a moment is still kept."""
    for level in levels_of(settings):
        if start >= now - level.kept:
            return level.step or settings.every_seconds
    return levels_of(settings)[-1].step


def pieces_of(span: Span, levels: Sequence[Level], rolled_up: dict[int, datetime]) -> list[Piece]:
    """Which level each part of a span is read from: the coarsest that fits, finer ones where it is not made yet."""
    pieces = []
    start = span.start
    for level in reversed(levels):
        if level.step and span.step % level.step:
            continue
        end = min(span.end, rolled_up.get(level.step, start)) if level.step else span.end
        if end > start:
            pieces.append(Piece(level.step, start, end))
            start = end
    return pieces


class Answers(msgspec.Struct, frozen=True):
    """Requests of a time, by how they were answered. `other` is what became no answer: a WebSocket, say."""

    requests: int
    ok: int
    redirects: int
    client_errors: int
    server_errors: int
    seconds: float | None
    """Until the answer began, on average."""
    slowest_seconds: float | None


class Point(msgspec.Struct, frozen=True):
    """An environment during one step from `at` on. What is null was not measured then."""

    at: datetime
    cpu: float | None
    """Cores: 1.5 is one and a half of them."""
    memory: int | None
    """Bytes, on average."""
    memory_most: int | None
    tasks: int | None
    read_bytes: float | None
    """From disks, a second."""
    written_bytes: float | None
    oom_kills: int
    """Times that the kernel killed because a limit of memory was met."""
    answers: Answers


class BoxPoint(msgspec.Struct, frozen=True):
    """The machine during one step from `at` on."""

    at: datetime
    cpu: float | None
    memory: int | None
    memory_most: int | None
    swap: int | None
    disk: int | None
    load: float | None
    received_bytes: float | None
    sent_bytes: float | None
    answers: Answers


class Figures(msgspec.Struct, frozen=True):
    """Points in order. Where nothing is known there is none."""

    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    step: int
    """Seconds."""
    points: list[Point]


class BoxFigures(msgspec.Struct, frozen=True):
    start: datetime = msgspec.field(name="from")
    end: datetime = msgspec.field(name="to")
    step: int
    cores: int
    memory: int
    """Bytes that the machine has."""
    disk: int
    """Bytes of the disk that apps lie on."""
    points: list[BoxPoint]
