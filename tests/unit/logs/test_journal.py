"""Decoding the journal."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from slipway.host.protocol import Instance, WorkKind
from slipway.logs import journal

NAMES = journal.UnitNames("k3f9")


def line(**fields: object) -> bytes:
    return msgspec.json.encode({"__CURSOR": "s=1;i=2", "__REALTIME_TIMESTAMP": "1700000000000000"} | fields)


def test_a_line_of_an_instance_says_whose_it_is() -> None:
    entry = journal.decode(line(MESSAGE="hello", _SYSTEMD_UNIT="slipway-k3f9-e12-v7-g31-s2-web.0.service"), NAMES)
    assert entry is not None
    assert (entry.text, entry.instance, entry.cursor) == ("hello", Instance(12, 7, 31, 2, "web", 0), "s=1;i=2")


def test_a_process_name_with_dashes_and_a_dot_like_rank_is_told_apart() -> None:
    assert NAMES.instance("slipway-k3f9-e1-v1-g1-s0-my-worker_2.11.service") == Instance(1, 1, 1, 0, "my-worker_2", 11)


@pytest.mark.parametrize(
    "unit",
    ["slipway-xxxx-e1-v1-g1-s1-web.0.service", "ssh.service", "slipway-k3f9-e1-v1-g1-s9-web.0.service",
     "slipway-k3f9-e1-v1-g1-s1-web.0.service\n", "slipway-k3f9-daemon.service"],
)  # fmt: skip
def test_lines_of_others_are_nobodys(unit: str) -> None:
    assert journal.decode(line(MESSAGE="x", _SYSTEMD_UNIT=unit), NAMES) is None


def test_a_line_of_a_build_says_which() -> None:
    entry = journal.decode(line(MESSAGE="x", _SYSTEMD_USER_UNIT="slipway-k3f9-build-5.service"), NAMES)
    assert entry is not None
    assert entry.work == (WorkKind.BUILD, 5)


@pytest.mark.parametrize(
    ("message", "text"),
    [([104, 105, 255], "hi\N{REPLACEMENT CHARACTER}"), (None, "(a line too long to show)"), ("a\0b", "a␀b"),
     (["a", "b"], "a\nb")],
)  # fmt: skip
def test_messages_that_are_not_plain_text_are_shown_all_the_same(message: object, text: str) -> None:
    entry = journal.decode(line(MESSAGE=message, _SYSTEMD_UNIT="slipway-k3f9-build-5.service"), NAMES)
    assert entry is not None
    assert entry.text == text


def test_what_is_not_json_is_passed_over() -> None:
    assert journal.decode(b"-- No entries --", NAMES) is None


def test_entries_are_ordered_by_their_sequence_numbers_which_are_hexadecimal() -> None:
    assert journal.is_after("s=ab;i=1f;b=1;m=5", "s=ab;i=9;b=1;m=7")
    assert not journal.is_after("s=ab;i=9", "s=ab;i=9")
    assert not journal.is_after("s=ab;i=ff", "s=ab;i=100")
    assert journal.is_after("s=cd;i=1", "s=ab;i=100"), "of a journal that was begun anew"


def test_a_cursor_is_ahead_of_the_newest_of_its_own_sequence_only() -> None:
    assert journal.is_ahead("s=ab;i=100", "s=ab;i=ff")
    assert not journal.is_ahead("s=ab;i=ff", "s=ab;i=ff")
    assert not journal.is_ahead("s=cd;i=100", "s=ab;i=ff")


async def test_following_ends_at_once_though_the_reader_of_the_journal_does_not_want_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid_file = tmp_path / "pid"
    stubborn = ["sh", "-c", f"trap '' TERM; echo $$ > {pid_file}; exec yes"]
    monkeypatch.setattr(journal, "follow_argv", lambda after, namespace: stubborn)
    following = asyncio.ensure_future(anext(journal.follow(None, NAMES)))
    while not pid_file.exists() or not pid_file.read_text():
        await asyncio.sleep(0.01)
    following.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(following, return_exceptions=True)
    assert not Path("/proc", pid_file.read_text().strip()).exists()


async def test_a_reading_that_is_given_up_leaves_no_process_behind(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    reading = asyncio.create_task(journal.run(["sh", "-c", f"echo $$ > {pid_file}; exec yes"], NAMES))
    while not pid_file.exists() or not pid_file.read_text():
        await asyncio.sleep(0.01)
    reading.cancel()
    async with asyncio.timeout(10):
        await asyncio.gather(reading, return_exceptions=True)
    assert reading.cancelled()
    assert not Path("/proc", pid_file.read_text().strip()).exists()


def test_lines_that_journald_did_not_keep_are_told_in_the_log_that_they_are_missing_from() -> None:
    unit = "slipway-k3f9-e12-v7-g31-s2-web.0.service"
    said = {"MESSAGE": f"Suppressed 19625 messages from {unit}", "MESSAGE_ID": journal.DROPPED, "N_DROPPED": "19625"}
    entry = journal.decode(line(_TRANSPORT="driver", _SYSTEMD_UNIT="systemd-journald@x.service", **said), NAMES)
    assert entry is not None
    assert (entry.instance, entry.dropped) == (Instance(12, 7, 31, 2, "web", 0), 19625)
    forged = journal.decode(line(_TRANSPORT="stdout", _SYSTEMD_UNIT=unit, **said), NAMES)
    assert forged is not None
    assert forged.dropped == 0, "an app that says so is an app that says something"


def test_each_journal_is_read_by_its_name() -> None:
    assert "--namespace=slipway-k3f9-apps" in journal.follow_argv(None, "slipway-k3f9-apps")
    assert not [word for word in journal.read_argv([], 1) if word.startswith("--namespace")]
