"""How long a process that keeps ending is held back."""

from slipway.host.cgroups import Counters
from slipway.host.exit_reporter import next_note

NONE = Counters(0, 0, "")


def waits(gaps: list[float]) -> list[float]:
    note, now, found = {}, 1_000_000.0, []
    for gap in gaps:
        now += note.get("wait", 0) + gap
        note = next_note(note, NONE, now)
        found.append(note["wait"])
    return found


def test_the_first_restart_is_at_once_and_later_ones_wait_up_to_a_minute() -> None:
    assert waits([1.0] * 10) == [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_who_stayed_up_for_a_while_starts_again_at_once() -> None:
    assert waits([1.0, 1.0, 1.0, 61.0, 1.0]) == [0, 1, 2, 0, 1]
