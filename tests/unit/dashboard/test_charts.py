"""Charts: paths that stay inside their drawing, and words for what they show."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from slipway.dashboard.charts import HEIGHT, WIDTH, Axis, Period, brief, charts_of_environment, cores, size
from slipway.metrics.models import Answers, Figures, Point

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def at(minutes: int) -> datetime:
    return NOON + timedelta(minutes=minutes)


def point(minutes: int, cpu: float | None, requests: int = 0, failed: int = 0, refused: int = 0) -> Point:
    answers = Answers(requests, requests - failed - refused, 0, refused, failed, 0.02 if requests else None, 0.5)
    memory = None if cpu is None else 40 * 2**20
    return Point(at(minutes), cpu, memory, memory, 3, 0.0, 0.0, 0, answers)


def axis() -> Axis:
    return Axis(NOON, at(60), 60)


def numbers(path: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+(?:\.\d+)?", path)]


def test_a_line_is_broken_where_nothing_was_measured() -> None:
    values = [(at(0), 1.0), (at(1), 2.0), (at(2), None), (at(3), 1.0), (at(10), 4.0)]
    area, line = axis().line(values, 4.0)
    assert line.path.count("M") == 3
    assert area.path.count("Z") == 3


def test_everything_stays_inside_the_drawing() -> None:
    values = [(at(minute), float(minute % 7) * 10) for minute in range(-5, 80)]
    for shape in axis().line(values, 20.0):
        assert all(0 <= number <= max(WIDTH, HEIGHT) for number in numbers(shape.path))


def test_a_single_failure_among_thousands_is_seen() -> None:
    ok, server = axis().bars([(at(5), (9999, 0, 1))], ("ok", "client", "server"), 10_000)
    assert (ok.look, server.look) == ("ok", "server")
    assert "v-1.0" in server.path


def test_an_environment_of_which_nothing_is_known_has_charts_that_say_so() -> None:
    charts = charts_of_environment(Figures(NOON, at(60), 60, []), Period.HOUR)
    assert [chart.now for chart in charts] == ["–", "–", "0", "–"]
    assert all(chart.shapes == [] for chart in charts)


def test_charts_say_in_words_what_they_show() -> None:
    points = [point(0, 0.02, 1200), point(1, 1.5, 300, failed=4, refused=2), point(2, 0.25)]
    processor, memory, requests, time = charts_of_environment(Figures(NOON, at(60), 60, points), Period.HOUR)
    assert (processor.now, processor.note) == ("25 %", "at most 1.5 cores")
    assert memory.now == "40 MiB"
    assert (requests.now, requests.note) == ("1\N{THIN SPACE}500", "2 × 4xx, 4 × 5xx")
    assert [shape.look for shape in requests.shapes] == ["ok", "client", "server"]
    assert time.now == "20 ms"


@pytest.mark.parametrize(
    ("value", "words"), [(0, "0 %"), (0.031, "3 %"), (0.996, "1 core"), (1.0, "1 core"), (12.25, "12.2 cores")]
)
def test_processors_are_said_like_this(value: float, words: str) -> None:
    assert cores(value) == words


def test_sizes_and_times_are_said_like_this() -> None:
    assert [size(value) for value in (0, 900, 2048, 25 * 2**20, 1.5 * 2**30)] == [
        "0 B", "900 B", "2.0 KiB", "25 MiB", "1.5 GiB",
    ]  # fmt: skip
    assert [brief(value) for value in (0.0004, 0.25, 2.5)] == ["0 ms", "250 ms", "2.5 s"]
