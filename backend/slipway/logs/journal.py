"""Reading the journal: argv builders, decoding, and one follower for everybody.

Format: `journalctl -o json`, systemd.journal-fields(7). A message that is not UTF-8 comes as a list of bytes, one
that is too long as null.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import msgspec

from slipway.host.protocol import Instance, WorkKind

MAX_TEXT = 8192
"""Characters of a line that are kept."""
_FIELDS = "MESSAGE,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,__REALTIME_TIMESTAMP"
_LINE_LIMIT = 4 * 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """One entry of a unit of this installation."""

    cursor: str
    at: datetime
    text: str
    instance: Instance | None
    work: tuple[WorkKind, int] | None


class _Raw(msgspec.Struct, frozen=True):
    cursor: str = msgspec.field(name="__CURSOR")
    at: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int | str] | None = msgspec.field(name="MESSAGE", default=None)
    unit: str | list[str] | None = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    user_unit: str | list[str] | None = msgspec.field(name="_SYSTEMD_USER_UNIT", default=None)


class UnitNames:
    """Recognises this installation's units. Names are made by the host agent (`host.agent.units`)."""

    def __init__(self, installation: str) -> None:
        self._instance = re.compile(
            rf"slipway-{installation}-e(\d+)-v(\d+)-g(\d+)-s([0-3])-([a-z][a-z0-9_-]*)\.(\d+)\.service\Z"
        )
        self._work = re.compile(rf"slipway-{installation}-(fetch|build|release)-(\d+)\.service\Z")

    def instance(self, unit: str) -> Instance | None:
        match = self._instance.match(unit)
        if not match:
            return None
        environment, release, generation, slot, process, rank = match.groups()
        return Instance(int(environment), int(release), int(generation), int(slot), process, int(rank))

    def work(self, unit: str) -> tuple[WorkKind, int] | None:
        match = self._work.match(unit)
        return (WorkKind(match[1]), int(match[2])) if match else None


_decoder = msgspec.json.Decoder(_Raw)


def decode(line: bytes, names: UnitNames) -> Entry | None:
    """One line of journalctl's JSON; None where it is nobody's here."""
    try:
        raw = _decoder.decode(line)
    except msgspec.MsgspecError:
        return None
    for unit in (raw.user_unit, raw.unit):
        if not isinstance(unit, str):
            continue
        instance, work = names.instance(unit), names.work(unit)
        if instance or work:
            at = datetime.fromtimestamp(int(raw.at) / 1_000_000, UTC)
            return Entry(raw.cursor, at, _text(raw.message), instance, work)
    return None


def _text(message: str | list[int | str] | None) -> str:
    if message is None:
        return "(a line too long to show)"
    if isinstance(message, list):
        message = (
            bytes(part for part in message if isinstance(part, int)).decode(errors="replace")
            if all(isinstance(part, int) for part in message)
            else "\n".join(str(part) for part in message)
        )
    text = message.replace("\0", "\N{SYMBOL FOR NULL}")
    return text if len(text) <= MAX_TEXT else text[:MAX_TEXT] + " … (cut)"


def follow_argv(after: str | None) -> list[str]:
    argv = ["journalctl", "--follow", "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet"]
    return [*argv, f"--after-cursor={after}"] if after else [*argv, "--lines=0"]


def read_argv(matches: Sequence[str], limit: int) -> list[str]:
    """The last `limit` entries that match, oldest first. Matches are `FIELD=value`; the same field twice means or."""
    return [
        "journalctl", "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet", "--no-pager",
        f"--lines={limit}", *matches,
    ]  # fmt: skip


def read_before_argv(matches: Sequence[str], before: str, limit: int) -> list[str]:
    """Entries up to a cursor, newest first; the first is the cursor's own."""
    return [
        "journalctl", "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet", "--no-pager", "--reverse",
        f"--cursor={before}", f"--lines={limit}", *matches,
    ]  # fmt: skip


def read_after_argv(matches: Sequence[str], after: str, limit: int) -> list[str]:
    """The first `limit` entries after a cursor, oldest first."""
    return [
        "journalctl", "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet", "--no-pager",
        f"--after-cursor={after}", f"--lines={limit}", *matches,
    ]  # fmt: skip


def is_after(cursor: str, other: str) -> bool:
    """Whether an entry came later than another, by journald's sequence numbers (sd_journal_get_seqnum(3)).

    Entries of different sequences, from before and after a journal was begun anew, count as later.
    """
    sequence, number = _position(cursor)
    other_sequence, other_number = _position(other)
    return sequence != other_sequence or number > other_number


def _position(cursor: str) -> tuple[str, int]:
    fields = dict(field.partition("=")[::2] for field in cursor.split(";"))
    try:
        return fields.get("s", ""), int(fields.get("i", ""), 16)
    except ValueError:
        return cursor, 0


async def run(argv: list[str], names: UnitNames) -> list[Entry]:
    """Run one reading to its end."""
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:  # given up in the middle: it would wait for ever for somebody to read it
            process.kill()
            await process.communicate()
    return [entry for line in output.splitlines() if (entry := decode(line, names))]


async def follow(after: str | None, names: UnitNames) -> AsyncIterator[list[Entry]]:
    """Entries as they come, in batches of what was there at once. Ends when journalctl does."""
    process = await asyncio.create_subprocess_exec(
        *follow_argv(after),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LINE_LIMIT,
    )
    assert process.stdout is not None
    rest = b""
    try:
        while chunk := await process.stdout.read(256 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            batch = [entry for line in lines if (entry := decode(line, names))]
            if batch:
                yield batch
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
