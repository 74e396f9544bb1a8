"""Whose doing an end was, and how long a process that keeps ending is held back."""

from pathlib import Path

import pytest

from slipway.host.cgroups import Counters
from slipway.host.exit_reporter import main, next_note

NONE = Counters(0, 0, 0, "")


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


@pytest.mark.parametrize(
    ("environment", "asked"),
    [
        ({"SERVICE_RESULT": "success"}, True),
        ({"SERVICE_RESULT": "success", "EXIT_CODE": "exited", "EXIT_STATUS": "0"}, False),
        ({"SERVICE_RESULT": "oom-kill"}, False),
    ],
    ids=["somebody stops it", "it ended well by itself", "systemd stops it after the kernel killed for memory"],
)
def test_a_stop_was_asked_for_where_somebody_did_and_not_where_systemd_has_a_reason_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], asked: bool
) -> None:
    """As systemd says it to ExecStop= (systemd.exec(5), `$SERVICE_RESULT`)."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    main(["", "stopping", "a.service", str(tmp_path), str(tmp_path), str(tmp_path)])
    assert (tmp_path / "a.service").exists() is asked
