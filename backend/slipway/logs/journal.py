"""Reading the journal: argv builders, decoding, and one follower for everybody.

Format: `journalctl -o json`, systemd.journal-fields(7). A message that is not UTF-8 comes as a list of bytes, one
that is too long as null. On a server what apps and what builds say is in journals of their own (`namespace`, empty for
the machine's): each has sequence numbers of its own, so that cursors of one mean nothing in the other.
"""

import asyncio
import contextlib
import re
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import msgspec

from slipway.host.protocol import Instance, WorkKind

MAX_TEXT = 8192
"""Characters of a line that are kept."""
_FIELDS = "MESSAGE,_SYSTEMD_UNIT,_SYSTEMD_USER_UNIT,__REALTIME_TIMESTAMP,MESSAGE_ID,_TRANSPORT,N_DROPPED"
DROPPED = "a596d6fe7bfa4994828e72309e95d61e"
"""The message id of journald's own word that it dropped lines of a unit (sd-messages.h)."""
_DROPPED_OF = re.compile(r"Suppressed \d+ messages from (\S+)\Z")
_LINE_LIMIT = 4 * 1024 * 1024


class Entry(msgspec.Struct, frozen=True):
    """One entry of a unit of this installation."""

    cursor: str
    at: datetime
    text: str
    instance: Instance | None
    work: tuple[WorkKind, int] | None
    dropped: int = 0
    """journald's word, in the unit's place, that so many of its lines were not kept."""


class _Raw(msgspec.Struct, frozen=True):
    cursor: str = msgspec.field(name="__CURSOR")
    at: str = msgspec.field(name="__REALTIME_TIMESTAMP")
    message: str | list[int | str] | None = msgspec.field(name="MESSAGE", default=None)
    unit: str | list[str] | None = msgspec.field(name="_SYSTEMD_UNIT", default=None)
    user_unit: str | list[str] | None = msgspec.field(name="_SYSTEMD_USER_UNIT", default=None)
    transport: str | list[str] | None = msgspec.field(name="_TRANSPORT", default=None)
    message_id: str | list[str] | None = msgspec.field(name="MESSAGE_ID", default=None)
    dropped: str | list[str] | None = msgspec.field(name="N_DROPPED", default=None)


class UnitNames:
    """Recognises this installation's units. Names are made by the host agent (`host.agent.units`)."""

    def __init__(self, installation: str) -> None:
        self._installation = installation
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

    def dropped_of(self, environment: int) -> list[str]:
        """What matches journald's words on lines of an environment's instances that it did not keep."""
        return [
            "+",
            f"MESSAGE_ID={DROPPED}",
            f"OBJECT_SYSTEMD_SLICE=slipway-{self._installation}-apps-e{environment}.slice",
        ]


_decoder = msgspec.json.Decoder(_Raw)


def decode(line: bytes, names: UnitNames) -> Entry | None:
    """One line of journalctl's JSON; None where it is nobody's here."""
    try:
        return _entry(_decoder.decode(line), names)
    except msgspec.MsgspecError:
        return None


def _entry(raw: _Raw, names: UnitNames) -> Entry | None:
    dropped = _dropped(raw)
    units = [dropped[0]] if dropped else [unit for unit in (raw.user_unit, raw.unit) if isinstance(unit, str)]
    for unit in units:
        instance, work = names.instance(unit), names.work(unit)
        if instance or work:
            at = datetime.fromtimestamp(int(raw.at) / 1_000_000, UTC)
            return Entry(raw.cursor, at, _text(raw.message), instance, work, dropped[1] if dropped else 0)
    return None


def _dropped(raw: _Raw) -> tuple[str, int] | None:
    """The unit of which journald did not keep lines, and how many; None of every other entry.

    Only journald's own entries have this transport: an app cannot say it.
    """
    if raw.transport != "driver" or raw.message_id != DROPPED or not isinstance(raw.message, str):
        return None
    found = _DROPPED_OF.match(raw.message)
    count = raw.dropped if isinstance(raw.dropped, str) and raw.dropped.isdigit() else "0"
    return (found[1], int(count)) if found else None


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


def _journalctl(namespace: str, *options: str) -> list[str]:
    of = [f"--namespace={namespace}"] if namespace else []
    return ["journalctl", *of, "--output=json", f"--output-fields={_FIELDS}", "--all", "--quiet", *options]


def follow_argv(after: str | None, namespace: str = "") -> list[str]:
    """From a cursor on, its own entry first; without one, what comes.

    Not `--after-cursor`: systemd 252 passes over the first entry that it finds, whether that is the cursor's or not.
    """
    # Merged: else, following passes over what was said before the last boot, whatever the cursor.
    return _journalctl(namespace, "--follow", "--merge", f"--cursor={after}" if after else "--lines=0")


def read_argv(matches: Sequence[str], limit: int, namespace: str = "") -> list[str]:
    """The last `limit` entries that match, oldest first. Matches are `FIELD=value`; the same field twice means or."""
    return _journalctl(namespace, "--no-pager", f"--lines={limit}", *matches)


def read_before_argv(matches: Sequence[str], before: str, limit: int, namespace: str = "") -> list[str]:
    """Entries up to a cursor, newest first; the first is the cursor's own."""
    return _journalctl(namespace, "--no-pager", "--reverse", f"--cursor={before}", f"--lines={limit}", *matches)


def read_from_argv(matches: Sequence[str], cursor: str, limit: int, namespace: str = "") -> list[str]:
    """The first `limit` entries from a cursor on, oldest first; the first is the cursor's own, where it is there."""
    return _journalctl(namespace, "--no-pager", f"--cursor={cursor}", f"--lines={limit}", *matches)


def is_after(cursor: str, other: str) -> bool:
    """Whether an entry came later than another, by journald's sequence numbers (sd_journal_get_seqnum(3)).

    Entries of different sequences, from before and after a journal was begun anew, count as later.
    """
    sequence, number = _position(cursor)
    other_sequence, other_number = _position(other)
    return sequence != other_sequence or number > other_number


def is_ahead(cursor: str, newest: str) -> bool:
    """Whether a cursor is of an entry that cannot be there yet."""
    (sequence, number), (its_sequence, its_number) = _position(cursor), _position(newest)
    return sequence == its_sequence and number > its_number


def _position(cursor: str) -> tuple[str, int]:
    fields = dict(field.partition("=")[::2] for field in cursor.split(";"))
    try:
        return fields.get("s", ""), int(fields.get("i", ""), 16)
    except ValueError:
        return cursor, 0


class Reading(msgspec.Struct, frozen=True):
    """What one reading gave: the entries of this installation's units, in its order, and how far it reached.

    `count`, `first` and `last` (cursors) are of all entries: others may carry the identifier that was asked for.
    """

    entries: list[Entry]
    count: int = 0
    first: str | None = None
    last: str | None = None
    ok: bool = True
    """False where journalctl refused, a cursor that is none say."""


async def read(argv: list[str], names: UnitNames) -> Reading:
    """Run one reading to its end."""
    process = await _start(argv)
    try:
        output, _ = await process.communicate()
    finally:
        await _end(process)
    cursors: list[str] = []
    entries: list[Entry] = []
    for line in output.splitlines():
        try:
            raw = _decoder.decode(line)
        except msgspec.MsgspecError:
            continue
        cursors.append(raw.cursor)
        if entry := _entry(raw, names):
            entries.append(entry)
    first, last = (cursors[0], cursors[-1]) if cursors else (None, None)
    return Reading(entries, len(cursors), first, last, process.returncode == 0)


async def run(argv: list[str], names: UnitNames) -> list[Entry]:
    """The entries of one reading."""
    return (await read(argv, names)).entries


async def is_damaged(cursor: str, names: UnitNames, namespace: str = "") -> bool:
    """Whether journalctl refuses to begin at a cursor, and would begin elsewhere."""
    refused = not (await read(read_from_argv([], cursor, 1, namespace), names)).ok
    return refused and (await read(read_argv([], 1, namespace), names)).ok


async def follow(after: str | None, names: UnitNames, namespace: str = "") -> AsyncIterator[list[Entry]]:
    """Entries as they come, in batches of what was there at once. Ends when journalctl does."""
    process = await _start(follow_argv(after, namespace))
    assert process.stdout is not None
    rest = b""
    try:
        while chunk := await process.stdout.read(256 * 1024):
            *lines, rest = (rest + chunk).split(b"\n")
            batch = [entry for line in lines if (entry := decode(line, names)) and entry.cursor != after]
            if batch:
                yield batch
    finally:
        await _end(process)


async def _start(argv: list[str]) -> Process:
    return await asyncio.create_subprocess_exec(
        *argv,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        limit=_LINE_LIMIT,
    )


async def _end(process: Process) -> None:
    """One that is given up in the middle is killed: it only reads, and may be waiting for ever for its own reader."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
