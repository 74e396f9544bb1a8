"""From counters to amounts, from amounts to points."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from slipway.errors import Invalid
from slipway.host.protocol import EnvironmentUsage, Usage
from slipway.metrics.models import (
    Meter,
    Partition,
    Piece,
    Span,
    floor,
    is_over,
    levels_of,
    pieces_of,
    span_of,
    wanted_partitions,
)
from slipway.settings import Metrics

SETTINGS = Metrics()
SAMPLED, MINUTE, QUARTER = levels_of(SETTINGS)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def usage(at: float, *environments: EnvironmentUsage) -> Usage:
    return Usage(at, environments)


def one(group: str = "a", cpu: float = 0, read: int = 0, kills: int | None = 0, memory: int = 100) -> EnvironmentUsage:
    return EnvironmentUsage(7, group, round(cpu * 1e6), memory, 3, read, read * 2, kills)


def test_the_first_look_knows_what_is_held_and_nothing_of_what_was_used() -> None:
    used = Meter().read(usage(1000, one(cpu=50, memory=200)))[7]
    assert (used.memory, used.tasks) == (200, 3)
    assert (used.measured_seconds, used.cpu_seconds) == (0, 0)


def test_a_look_after_it_knows_what_came_in_between() -> None:
    meter = Meter()
    meter.read(usage(1000, one(cpu=50, read=10, kills=1)))
    used = meter.read(usage(1010, one(cpu=55, read=30, kills=3)))[7]
    assert (used.measured_seconds, used.cpu_seconds, used.read_bytes, used.written_bytes) == (10, 5, 20, 40)
    assert used.oom_kills == 2


def test_what_a_new_control_group_counts_is_all_new() -> None:
    meter = Meter()
    meter.read(usage(1000, one("a", cpu=50)))
    assert meter.read(usage(1010, one("b", cpu=2)))[7].cpu_seconds == 2


def test_what_began_after_the_look_before_is_counted_from_its_beginning() -> None:
    meter = Meter()
    meter.read(usage(1000))
    used = meter.read(usage(1010, one(cpu=3)))[7]
    assert (used.measured_seconds, used.cpu_seconds) == (10, 3)


def test_counters_that_began_anew_never_make_a_negative_amount() -> None:
    meter = Meter()
    meter.read(usage(1000, one(cpu=50, read=500, kills=None)))
    used = meter.read(usage(1010, one(cpu=1, read=5, kills=None)))[7]
    assert (used.cpu_seconds, used.read_bytes, used.oom_kills) == (1, 5, 0)


def test_what_is_not_there_any_more_has_no_figures_and_is_forgotten() -> None:
    meter = Meter()
    meter.read(usage(1000, one(cpu=50)))
    assert meter.read(usage(1010)) == {}
    assert meter.read(usage(1020, one(cpu=51)))[7].cpu_seconds == 51


def test_a_time_that_nobody_looked_at_is_part_of_the_next_amount() -> None:
    meter = Meter()
    meter.read(usage(1000, one(cpu=50)))
    used = meter.read(usage(4600, one(cpu=86)))[7]
    assert used.cpu_seconds / used.measured_seconds == pytest.approx(0.01)


# ---- partitions


def test_partitions_are_named_by_their_table_and_beginning() -> None:
    made = Partition("environment_figures_minute", datetime(2026, 11, 21, tzinfo=UTC))
    assert made.name == "environment_figures_minute_2026112100"
    assert Partition.named(made.name) == made


@pytest.mark.parametrize("level", [SAMPLED, MINUTE, QUARTER])
def test_a_partition_is_there_before_its_time_and_none_overlaps_or_leaves_a_gap(level: object) -> None:
    assert level in (SAMPLED, MINUTE, QUARTER)
    made: set[Partition] = set()
    for hours in range(0, 24 * 30, 1):
        now = NOON + timedelta(hours=hours, minutes=59)
        made |= wanted_partitions(level, ("box_figures",), now, now)  # type: ignore[arg-type]
        assert any(one.start > now for one in made)
    starts = sorted(one.start for one in made)
    assert {after - before for before, after in pairwise(starts)} == {level.width}  # type: ignore[attr-defined]
    assert starts[0] <= NOON


def test_a_partition_is_over_when_its_last_row_is_older_than_what_is_kept() -> None:
    hour = Partition("box_figures_sampled", NOON)
    ends = NOON + timedelta(hours=1)
    assert not is_over(hour, SAMPLED, ends + SAMPLED.kept - timedelta(seconds=1))
    assert is_over(hour, SAMPLED, ends + SAMPLED.kept)


def test_a_partition_of_a_clock_that_was_far_ahead_is_over_too() -> None:
    assert is_over(Partition("box_figures_sampled", NOON + timedelta(days=365)), SAMPLED, NOON)
    assert not is_over(Partition("box_figures_quarter", NOON + timedelta(days=7)), QUARTER, NOON)


# ---- what is asked


def test_without_anything_asked_it_is_the_last_hour_in_about_240_points() -> None:
    span = span_of(None, None, None, SETTINGS, NOON)
    assert (span.start, span.end, span.step) == (NOON - timedelta(hours=1), NOON, 15)


def test_a_step_is_never_finer_than_what_is_still_kept() -> None:
    assert span_of(NOON - timedelta(hours=10), None, 15, SETTINGS, NOON).step == 60
    assert span_of(NOON - timedelta(days=30), None, None, SETTINGS, NOON).step % 900 == 0


def test_a_step_is_made_whole_so_that_each_point_is_of_whole_rows() -> None:
    assert span_of(NOON - timedelta(hours=10), None, 100, SETTINGS, NOON).step == 120


@pytest.mark.parametrize(
    ("start", "end", "step"),
    [
        (NOON, NOON - timedelta(hours=1), None),
        (NOON + timedelta(hours=1), None, None),
        (NOON.replace(tzinfo=None) - timedelta(hours=1), None, None),
        (NOON - timedelta(days=59), None, 900),
    ],
)
def test_what_cannot_be_answered_is_refused(start: datetime, end: datetime | None, step: int | None) -> None:
    with pytest.raises(Invalid):
        span_of(start, end, step, SETTINGS, NOON)


def test_a_time_is_read_from_the_coarsest_level_and_its_end_from_finer_ones() -> None:
    span = Span(NOON - timedelta(hours=20), NOON, 1800)
    rolled_up = {60: NOON - timedelta(minutes=1), 900: NOON - timedelta(minutes=15)}
    assert pieces_of(span, (SAMPLED, MINUTE, QUARTER), rolled_up) == [
        Piece(900, span.start, NOON - timedelta(minutes=15)),
        Piece(60, NOON - timedelta(minutes=15), NOON - timedelta(minutes=1)),
        Piece(0, NOON - timedelta(minutes=1), NOON),
    ]


def test_a_level_that_does_not_fit_the_step_is_left_out() -> None:
    span = Span(NOON - timedelta(hours=1), NOON, 1020)
    assert {piece.step for piece in pieces_of(span, (SAMPLED, MINUTE, QUARTER), {60: NOON, 900: NOON})} == {60}


def test_rounding_down_is_by_the_epoch() -> None:
    assert floor(datetime(2026, 3, 1, 12, 34, 56, 7, tzinfo=UTC), 900) == datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
