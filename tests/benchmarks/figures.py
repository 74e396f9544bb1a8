"""What a benchmark found, and how it is written down."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


class Broken(Exception):
    """Something that must not happen happened: what was measured is worth nothing."""


@dataclass
class Section:
    """One benchmark's chapter of the report."""

    title: str
    said: str
    """What was done, in a few sentences."""
    columns: Sequence[str]
    rows: list[Sequence[object]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Requests that failed and streams that broke, where none may."""

    def add(self, *cells: object) -> None:
        self.rows.append(cells)

    def verdict(self, measured: float, target: float, unit: str = "", *, at_least: bool = False) -> str:
        met = measured >= target if at_least else measured <= target
        return f"{'≥' if at_least else '≤'} {target:g}{unit}: {'met' if met else '**missed**'}"

    def text(self) -> str:
        lines = [f"## {self.title}", "", self.said, ""]
        lines.append(f"| {' | '.join(self.columns)} |")
        lines.append(f"|{' --- |' * len(self.columns)}")
        lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in self.rows]
        return "\n".join(lines) + "\n"


def median(values: Sequence[float]) -> float:
    return statistics.median(values)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest of the values that at least so many percent of them do not exceed."""
    ordered = sorted(values)
    rank = max(1, -(-len(ordered) * percent // 100))
    return ordered[int(rank) - 1]


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms"
