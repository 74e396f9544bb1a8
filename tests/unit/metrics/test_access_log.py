"""Counting requests, whatever strangers put into their lines."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from slipway.metrics.access_log import PANEL, AccessLog, parse

NOW = datetime(2026, 3, 1, 12, 0, 7, tzinfo=UTC)


def line(**fields: object) -> bytes:
    entry = {
        "at": NOW.timestamp(), "environment": "3", "host": "a.example", "path": "/", "status": 200, "seconds": 0.5,
        "began": "0.020", "client": "192.0.2.1", "agent": "curl",
    }  # fmt: skip
    return json.dumps(entry | fields).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.touch()
    return path


@pytest.fixture
def log(path: Path) -> Iterator[AccessLog]:
    """At the file's end."""
    log = AccessLog(path, 15)
    log.go_on(None)
    assert log.read(NOW, NOW, NOW) == {}
    yield log
    log.close()


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"began": "0.020"}, 0.02),
        ({"began": "0.001, 0.020"}, 0.021),
        ({"began": "0.001 : 0.020"}, 0.021),
        ({"began": "-, 0.020"}, 0.02),
        ({"began": "-"}, 0.5),
        ({"began": ""}, 0.5),
        ({"began": "soon"}, 0.5),
    ],
)
def test_the_time_of_an_answer_is_until_it_began(fields: dict[str, object], seconds: float) -> None:
    parsed = parse(line(**fields))
    assert parsed is not None
    assert parsed[3] == pytest.approx(seconds)


@pytest.mark.parametrize(
    "hostile",
    [
        b"",
        b"\0" * 100,
        b'{"at":1',
        b"[]",
        b"null",
        b'{"at":1e999,"environment":"3","status":200}',
        b'{"at":"now","environment":"3","status":200}',
        line(environment="²"),
        line(environment="٣"),
        line(environment="-1"),
        line(environment="9" * 400),
        line(status=0),
        line(status=99999),
        line(at=-1e300),
        line(client="unix:"),
    ],
)
def test_what_is_no_request_of_a_visitor_is_not_counted_and_breaks_nothing(hostile: bytes) -> None:
    assert parse(hostile) is None


def test_bytes_that_are_no_text_in_a_path_do_not_hide_a_request() -> None:
    assert parse(line().replace(b'"/"', b'"/\xff\xfe\xc3("')) is not None


def test_a_request_that_claims_to_be_two_lines_is_one() -> None:
    injected = line(path='/", "status": 500, "environment": "4\n{"at":1}')
    assert b"\n" not in injected, "nginx escapes it the same way"
    parsed = parse(injected)
    assert parsed is not None
    assert (parsed[0], parsed[2]) == (3, 200)


def test_requests_are_counted_by_environment_time_and_class(path: Path, log: AccessLog) -> None:
    with path.open("ab") as file:
        for status in (200, 204, 301, 404, 499, 503, 101):
            file.write(line(status=status) + b"\n")
        file.write(line(environment="", status=200) + b"\n")
        file.write(line(at=NOW.timestamp() - 20) + b"\n" + line(environment="4")[:20])
    counted = log.read(NOW, NOW - timedelta(minutes=1), NOW - timedelta(hours=6))
    at = NOW.replace(second=0)
    now = counted[3, at]
    assert (now.requests, now.answers_2xx, now.answers_3xx, now.answers_4xx, now.answers_5xx) == (7, 2, 1, 2, 1)
    assert counted[3, at - timedelta(seconds=15)].requests == 1
    assert counted[PANEL, at].requests == 1
    assert len(counted) == 3


def test_late_lines_count_as_soon_as_they_may_and_very_old_ones_not_at_all(path: Path, log: AccessLog) -> None:
    oldest = NOW.replace(second=0)
    with path.open("ab") as file:
        file.write(line(at=NOW.timestamp() - 300) + b"\n")
        file.write(line(at=NOW.timestamp() - 7 * 3600) + b"\n")
        file.write(line(at=NOW.timestamp() + 86400) + b"\n")
    counted = log.read(NOW, oldest, NOW - timedelta(hours=6))
    assert {key: one.requests for key, one in counted.items()} == {(3, oldest): 2}
