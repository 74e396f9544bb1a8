"""Small charts, drawn on the server as SVG paths: lines of what is held or used, bars of what is counted."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from slipway.metrics.models import Answers, BoxFigures, Figures

WIDTH, HEIGHT = 240.0, 48.0
"""Of the drawing, in its own units; pages stretch it."""


class Period(StrEnum):
    """How far back charts go."""

    HOUR = "hour"
    DAY = "day"
    MONTH = "month"

    @property
    def length(self) -> timedelta:
        return {self.HOUR: timedelta(hours=1), self.DAY: timedelta(days=1), self.MONTH: timedelta(days=30)}[self]

    @property
    def step(self) -> int:
        """Seconds of one point."""
        return {self.HOUR: 60, self.DAY: 900, self.MONTH: 21_600}[self]

    @property
    def words(self) -> str:
        return {self.HOUR: "last hour", self.DAY: "last day", self.MONTH: "last 30 days"}[self]


class Shape(msgspec.Struct, frozen=True):
    look: str
    """`line`, `area`, or the class of answers that bars stand for."""
    path: str


class Chart(msgspec.Struct, frozen=True):
    """`now` is the newest value in words, `note` what the drawing reaches up to."""

    title: str
    now: str
    note: str
    shapes: list[Shape]


class Axis:
    """Where a moment and an amount are in the drawing."""

    def __init__(self, start: datetime, end: datetime, step: int) -> None:
        self._start, self._step = start, step
        self.count = max(2, int((end - start).total_seconds() // step) + 1)
        self.width = WIDTH / self.count

    def place(self, at: datetime) -> int:
        return int((at - self._start).total_seconds() // self._step)

    def line(self, values: Sequence[tuple[datetime, float | None]], top: float) -> list[Shape]:
        """A line and what is below it. Where nothing was measured it is broken."""
        runs: list[list[tuple[float, float]]] = []
        before = -2
        for at, value in values:
            place = self.place(at)
            if value is None or not 0 <= place < self.count:
                continue
            if place != before + 1:
                runs.append([])
            runs[-1].append(((place + 0.5) * self.width, HEIGHT - _height(value, top)))
            before = place
        line = " ".join(_polyline(run) for run in runs)
        area = " ".join(f"{_polyline(run)} V{HEIGHT:g} H{run[0][0]:.1f} Z" for run in runs)
        return [Shape("area", area), Shape("line", line)] if runs else []

    def bars(self, stacks: Sequence[tuple[datetime, Sequence[int]]], looks: Sequence[str], top: float) -> list[Shape]:
        """One bar for each moment, of parts upon each other; a path for each look."""
        paths: list[list[str]] = [[] for _ in looks]
        gap = min(1.0, self.width / 4)
        for at, parts in stacks:
            place = self.place(at)
            if not 0 <= place < self.count:
                continue
            bottom = HEIGHT
            for path, part in zip(paths, parts, strict=True):
                if not part:
                    continue
                height = max(1.0, _height(part, top))  # a single failure among thousands is seen
                wide = self.width - gap
                path.append(f"M{place * self.width:.1f} {bottom:.1f} h{wide:.1f} v-{height:.1f} h-{wide:.1f} z")
                bottom -= height
        return [Shape(look, " ".join(path)) for look, path in zip(looks, paths, strict=True) if path]


def charts_of_environment(figures: Figures, period: Period) -> list[Chart]:
    axis = Axis(figures.start, figures.end, figures.step)
    points = figures.points
    return [
        _line(axis, "Processor", [(one.at, one.cpu) for one in points], cores, least=0.1),
        _line(axis, "Memory", [(one.at, one.memory) for one in points], size, least=16 * 2**20),
        _requests(axis, [(one.at, one.answers) for one in points], period),
        _line(axis, "Time to answer", [(one.at, one.answers.seconds) for one in points], brief, least=0.05),
    ]


def charts_of_box(figures: BoxFigures, period: Period) -> list[Chart]:
    axis = Axis(figures.start, figures.end, figures.step)
    points = figures.points
    traffic = [(one.at, _sum(one.received_bytes, one.sent_bytes)) for one in points]
    return [
        _line(axis, "Processor", [(one.at, one.cpu) for one in points], cores, of=float(figures.cores)),
        _line(axis, "Memory", [(one.at, one.memory) for one in points], size, of=figures.memory),
        _line(axis, "Disk", [(one.at, one.disk) for one in points], size, of=figures.disk),
        _line(axis, "Load", [(one.at, one.load) for one in points], lambda load: f"{load:.1f}", least=1),
        _line(axis, "Network", traffic, lambda rate: f"{size(rate)}/s", least=10_000),
        _requests(axis, [(one.at, one.answers) for one in points], period),
    ]


def _line(
    axis: Axis,
    title: str,
    values: Sequence[tuple[datetime, float | None]],
    words: Callable[[float], str],
    *,
    least: float = 0.0,
    of: float | None = None,
) -> Chart:
    """A line up to what there is (`of`), or to its own most, but not less than `least`: rest must look like rest."""
    known = [value for _, value in values if value is not None]
    most = max(known, default=0.0)
    if not known:
        return Chart(title, "–", "nothing measured", [])
    note = f"of {words(of)}" if of else f"at most {words(most)}"
    return Chart(title, words(known[-1]), note, axis.line(values, of or max(most, least)))


LOOKS = ("ok", "client", "server")


def _requests(axis: Axis, answers: Sequence[tuple[datetime, Answers]], period: Period) -> Chart:
    stacks = [
        (at, (one.requests - one.client_errors - one.server_errors, one.client_errors, one.server_errors))
        for at, one in answers
    ]
    total = sum(one.requests for _, one in answers)
    failed = sum(one.server_errors for _, one in answers)
    refused = sum(one.client_errors for _, one in answers)
    bad = [f"{count} × {look}" for count, look in ((refused, "4xx"), (failed, "5xx")) if count]
    top = max((one.requests for _, one in answers), default=0)
    shapes = axis.bars(stacks, LOOKS, max(top, 1))
    return Chart("Requests", f"{total:,}".replace(",", "\N{THIN SPACE}"), ", ".join(bad) or period.words, shapes)


def cores(value: float) -> str:
    """Of processors: `7 %` of a core, `1.5 cores`."""
    if value < 0.995:
        return f"{value * 100:.0f} %"
    amount = f"{value:.1f}".removesuffix(".0")
    return f"{amount} core" if amount == "1" else f"{amount} cores"


def size(value: float) -> str:
    """Of bytes: `17 MiB`, `1.2 GiB`."""
    for unit, bytes_ in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= bytes_:
            amount = value / bytes_
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:.0f} {unit}"
    return f"{value:.0f} B"


def brief(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one + other


def _height(value: float, top: float) -> float:
    return min(1.0, value / top) * (HEIGHT - 2) if top else 0.0


def _polyline(run: Sequence[tuple[float, float]]) -> str:
    if len(run) == 1:  # a point alone would not be seen
        (x, y), *_ = run
        return f"M{x - 0.5:.1f} {y:.1f} H{x + 0.5:.1f}"
    return "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in run)
