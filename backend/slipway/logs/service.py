"""What builds and apps say: stored for deployments, read from the journal for apps, live for both."""

import asyncio
import re
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import structlog

from slipway import clock
from slipway.apps.models import Environment
from slipway.db import Database
from slipway.errors import Unavailable
from slipway.events.hub import Hub
from slipway.host.protocol import WorkKind
from slipway.logs import journal, store
from slipway.logs.journal import Entry, UnitNames
from slipway.logs.models import LogLine, RuntimeLine
from slipway.plan import END_OF_LOG
from slipway.settings import WORK_LOG_LINES, WORK_LOG_SECONDS, Journal, Settings

RECENT = 2000
BACKLOG = 500
"""Lines of a runtime log that are read at once for who was away."""
MOST_WAITING_BYTES = 1_000_000
"""Of lines that wait in memory for one reader of a runtime log."""
LINES_AT_ONCE = 20_000
"""Lines of a deployment that one statement deletes: a log may have millions, and a statement has half a minute."""
LINE_BYTES = 400
"""What a line takes beside its text."""
MOST_WORK_CHARACTERS = 10_000_000
"""Of a fetch and a release command together that are kept. A build has a limit of its own, and ends there."""
_PHASE = {WorkKind.FETCH: "fetching", WorkKind.BUILD: "building", WorkKind.RELEASE_COMMAND: "releasing"}
_CURSOR = re.compile(r"[A-Za-z0-9=;_-]{1,400}\Z")

CUT = f"Slipway: more than {MOST_WORK_CHARACTERS // 1_000_000} MB of log; what follows is not kept."

log = structlog.get_logger()


class Waiting:
    """Lines on their way to one reader. One who is too slow for what fits is told to read the journal itself."""

    def __init__(self) -> None:
        self._batches: deque[list[RuntimeLine]] = deque()
        self._bytes = 0
        self._overflowed = False
        self._wake = asyncio.Event()

    def put(self, lines: list[RuntimeLine]) -> None:
        if self._overflowed:
            return
        self._bytes += sum(len(line.text.encode(errors="replace")) + LINE_BYTES for line in lines)
        self._batches.append(lines)
        if self._bytes > MOST_WAITING_BYTES:
            self._batches.clear()
            self._overflowed = True
        self._wake.set()

    async def get(self) -> list[RuntimeLine] | None:
        """All that waits; None once where it was too much. May be abandoned at any time."""
        await self._wake.wait()
        self._wake.clear()
        lines = None if self._overflowed else [line for batch in self._batches for line in batch]
        self._batches.clear()
        self._bytes, self._overflowed = 0, False
        return lines


@dataclass
class _Held:
    """What Slipway said behind one piece of work."""

    kind: WorkKind
    lines: list[tuple[int, datetime, str, str]] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass
class _Batch:
    """So many of the pending lines, with the numbers that they get, and each deployment's last one."""

    count: int
    lines: list[tuple[int, LogLine]]
    numbers: dict[int, int]


class Logs:
    """One reader of each journal feeds everybody. Lines of deployments are shown once they are stored."""

    def __init__(self, db: Database, hub: Hub, names: UnitNames, settings: Settings) -> None:
        self._db = db
        self._hub = hub
        self._names = names
        self._rate = settings.logs
        self._apps_journal = settings.namespace(Journal.APPS)
        self._builds_journal = settings.namespace(Journal.BUILDS)
        self._pending: list[tuple[int, datetime, str, str]] = []
        self._held: dict[int, list[_Held]] = {}
        """By deployment, first to last: what Slipway said behind pieces of work whose last lines are not here yet."""
        self._wake = asyncio.Event()
        self._unheard: _Batch | None = None
        """Stored, perhaps: the database went away before it said so."""
        self._numbers: dict[int, int] = {}
        self._recent: dict[int, deque[LogLine]] = {}
        self._ended: set[int] = set()
        self._kept: dict[int, int] = defaultdict(int)
        """Characters of each deployment's fetch and release command so far."""
        self._over: set[tuple[WorkKind, int]] = set()
        """Pieces of work whose last line is here."""
        self._cursors: dict[str, str] = {}
        """How far each journal was read."""
        self._runtime: dict[int, set[Waiting]] = defaultdict(set)
        self._flushed = asyncio.Condition()
        self._flushes = 0

    # ---- deployments -------------------------------------------------------------------------------------------

    def write(self, deployment_id: int, phase: str, text: str) -> None:
        """Add Slipway's own lines to a deployment's log."""
        now = clock.now()
        held = self._held.get(deployment_id)
        lines = held[-1].lines if held else self._pending
        for line in text.split("\n"):
            lines.append((deployment_id, now, phase, line.replace("\0", "\N{SYMBOL FOR NULL}")))
        self._wake.set()

    def hold_back(self, kind: WorkKind, work_id: int, seconds: float) -> None:
        """Let Slipway's own lines wait for the last line of a piece of work that has ended, at most so long.

        journald tells its readers up to a quarter of a second late; the deployment itself need not wait for that.
        """
        if (kind, work_id) not in self._over:
            self._held.setdefault(work_id, []).append(_Held(kind))
            asyncio.get_running_loop().call_later(seconds, self._let_go, kind, work_id)

    def _let_go(self, kind: WorkKind, work_id: int) -> None:
        """At once with the last line: those of the next piece of work may be in the same batch of the journal."""
        held = self._held.get(work_id, [])
        while any(one.kind is kind for one in held):
            first = held.pop(0)
            self._pending += first.lines
            first.over.set()
        if not held:
            self._held.pop(work_id, None)
        self._wake.set()

    async def deployment_lines(
        self, deployment_id: int, after: int = 0, limit: int = 10000, characters: int = 2**40
    ) -> list[LogLine]:
        """Stored lines with numbers above `after`; no more once they have so many characters."""
        async with self._db.connection() as connection:
            return await store.list_lines(connection, deployment_id, after, limit, characters)

    async def last_number(self, deployment_id: int) -> int:
        """Of the newest line that is stored; 0 where there is none."""
        async with self._db.connection() as connection:
            return await store.last_number(connection, deployment_id)

    async def last_deployment_lines(self, deployment_id: int, limit: int) -> list[LogLine]:
        """The end of what is stored, oldest first."""
        async with self._db.connection() as connection:
            return await store.list_last_lines(connection, deployment_id, limit)

    async def follow_deployment(self, deployment_id: int, after: int = 0) -> AsyncIterator[list[LogLine]]:
        """Batches of lines with numbers above `after`, without gaps, until `finish_deployment` was called."""
        topic = f"deployment-log:{deployment_id}"
        async with self._hub.subscribe(topic) as changes:
            while True:
                # The order matters: whether it is finished is asked before the lines are read.
                finished = deployment_id not in self._recent
                batch = self._recent_after(deployment_id, after)
                if batch is None:
                    batch = await self.deployment_lines(deployment_id, after)
                if batch:
                    after = batch[-1].number
                    yield batch
                elif finished:
                    return
                else:
                    await anext(changes)

    def begin_deployment(self, deployment_id: int) -> None:
        """Its log may grow: followers wait for more."""
        self._recent.setdefault(deployment_id, deque(maxlen=RECENT))

    async def finish_deployment(self, deployment_id: int) -> None:
        """Its log is complete once what is pending is stored."""
        if held := self._held.get(deployment_id):
            await held[-1].over.wait()
        self._ended.add(deployment_id)
        self._wake.set()
        await self.flushed()

    async def complete(self, deployment_id: int) -> None:
        """Wait until all that was said of a deployment that has ended can be read: a moment at most."""
        if deployment_id in self._recent:
            await self.finish_deployment(deployment_id)

    async def flushed(self) -> None:
        """Wait until all that was written before is stored."""
        wanted = self._flushes + (2 if self._pending else 1)

        def reached() -> bool:
            if self._flushes < wanted:
                self._wake.set()  # each flush is asked for: the writer looks by itself every few seconds only
            return self._flushes >= wanted

        async with self._flushed:
            await self._flushed.wait_for(reached)

    def _recent_after(self, deployment_id: int, after: int) -> list[LogLine] | None:
        """From memory where it reaches back that far, else None."""
        recent = self._recent.get(deployment_id)
        if recent is None or (not recent and self._numbers.get(deployment_id, 0) == 0 and after == 0):
            return None
        last = self._numbers.get(deployment_id)
        if last is not None and after >= last:
            return []
        if recent and recent[0].number <= after + 1:
            return list(recent)[after + 1 - recent[0].number :]
        return None

    # ---- runtime -----------------------------------------------------------------------------------------------

    async def runtime_lines(
        self, environment: Environment, limit: int = 200, before: str | None = None
    ) -> list[RuntimeLine]:
        """The newest lines of an environment's instances, or those before a cursor; oldest first."""
        lines, _ = await self.runtime_page(environment, limit, before)
        return lines

    async def runtime_page(
        self, environment: Environment, limit: int, before: str | None = None
    ) -> tuple[list[RuntimeLine], str | None]:
        """→ (the lines, the `before` of older ones); None where there are none.

        There may be fewer lines than asked for, and older ones all the same: others can write under any identifier.
        """
        matches, namespace = self._matches(environment), self._apps_journal
        if before is None:
            found = await journal.read(journal.read_argv(matches, limit, namespace), self._names)
            older = found.first if found.count >= limit else None
        else:
            if not _CURSOR.match(before):
                return [], None
            argv = journal.read_before_argv(matches, before, limit + 1, namespace)
            found = await journal.read(argv, self._names)
            older = found.last if found.count > limit else None
        entries = [entry for entry in found.entries if entry.cursor != before]
        lines = self._runtime_lines(entries if before is None else entries[::-1], environment.id)
        return lines, older

    async def last_lines(self, unit: str, limit: int = 20) -> list[str]:
        """The last lines of one unit."""
        matches = [f"_SYSTEMD_UNIT={unit}", "+", f"_SYSTEMD_USER_UNIT={unit}"]
        namespace = self._builds_journal if self._names.work(unit) else self._apps_journal
        return [entry.text for entry in await journal.run(journal.read_argv(matches, limit, namespace), self._names)]

    async def follow_runtime(
        self, environment: Environment, after: str | None, tail: int = 0
    ) -> AsyncIterator[list[RuntimeLine]]:
        """Lines as they come; with a cursor, first those since it, else the newest `tail`. Never ends by itself."""
        matches, namespace = self._matches(environment), self._apps_journal
        queue, position = Waiting(), self._cursors.get(namespace)
        self._runtime[environment.id].add(queue)  # before anything is read: nothing falls in between
        try:
            given = await self._existing(matches, after)
            behind = twice = given is not None
            if given is not None:
                position = given
            elif tail and (newest := await self.runtime_lines(environment, tail)):
                position, twice = newest[-1].cursor, True
                yield newest
            while True:
                # In parts: who comes back after days must not have all of it in memory at once.
                while behind and position:
                    argv = journal.read_from_argv(matches, position, BACKLOG + 1, namespace)
                    found = await journal.read(argv, self._names)
                    missed = [entry for entry in found.entries if entry.cursor != position]
                    position, behind = found.last or position, found.count > BACKLOG
                    if lines := self._runtime_lines(missed, environment.id):
                        yield lines
                batch = await queue.get()
                if batch is None:  # too far behind what is kept in memory: the journal has it
                    behind = twice = True
                    continue
                if twice:  # the one reader lags behind what was read directly, and brings it once more
                    batch = [line for line in batch if position is None or journal.is_after(line.cursor, position)]
                if batch:
                    twice, position = False, batch[-1].cursor
                    yield batch
        finally:
            self._runtime[environment.id].discard(queue)
            if not self._runtime[environment.id]:
                del self._runtime[environment.id]

    async def _existing(self, matches: list[str], cursor: str | None) -> str | None:
        """A cursor to go on from: the newest entry's where it is said to be of a later one, None where it is none."""
        if cursor is None or not _CURSOR.match(cursor):
            return None
        namespace = self._apps_journal
        found = await journal.read(journal.read_from_argv(matches, cursor, 1, namespace), self._names)
        if found.ok and not found.count:
            newest = (await journal.read(journal.read_argv(matches, 1, namespace), self._names)).last
            return newest if newest and journal.is_ahead(cursor, newest) else cursor
        return cursor if found.ok else None

    # ---- the reader and the writer -------------------------------------------------------------------------------

    async def read_journals(self) -> None:
        """Follow each journal for ever. What is read is stored together with how far it was read."""
        async with asyncio.TaskGroup() as readers:
            for namespace in {self._apps_journal, self._builds_journal}:
                readers.create_task(self._read_journal(namespace))

    async def _read_journal(self, namespace: str) -> None:
        begun = False
        while True:
            try:
                if not begun:
                    async with self._db.connection() as connection:
                        found = (await store.find_cursors(connection)).get(namespace)
                    if found:
                        self._cursors[namespace] = found
                    begun = True
                async for batch in journal.follow(self._cursors.get(namespace), self._names, namespace):
                    self._take(batch, namespace)
                cursor = self._cursors.get(namespace)
                if cursor and await journal.is_damaged(cursor, self._names, namespace):
                    log.error("the journal does not know where it was read last: lines are lost", cursor=cursor)
                    del self._cursors[namespace]
            except Unavailable:
                pass
            await asyncio.sleep(0.5)

    def _take(self, batch: list[Entry], namespace: str = "") -> None:
        runtime: dict[int, list[RuntimeLine]] = defaultdict(list)
        for entry in batch:
            if entry.work:
                self._take_work(entry, entry.work)
            elif entry.instance and entry.instance.environment in self._runtime:
                line = self._runtime_line(entry, entry.instance.environment)
                if line:
                    runtime[entry.instance.environment].append(line)
        self._cursors[namespace] = batch[-1].cursor
        for environment_id, lines in runtime.items():
            for queue in self._runtime[environment_id]:
                queue.put(lines)

    def _take_work(self, entry: Entry, work: tuple[WorkKind, int]) -> None:
        kind, work_id = work
        if entry.text == END_OF_LOG:
            if work_id in self._recent:
                self._over.add(work)
            self._let_go(kind, work_id)
            return
        text = not_kept(entry.dropped, WORK_LOG_LINES, WORK_LOG_SECONDS) if entry.dropped else entry.text
        if kind is not WorkKind.BUILD:
            if self._kept[work_id] > MOST_WORK_CHARACTERS:
                return
            self._kept[work_id] += len(text) + 1  # its end counts: empty lines fill a table as well
            if self._kept[work_id] > MOST_WORK_CHARACTERS:
                text = CUT
        self._pending.append((work_id, entry.at, _PHASE[kind], text))
        self._wake.set()

    async def store_lines(self) -> None:
        """Store what is pending, for ever, in batches."""
        saved: dict[str, str] = {}
        while True:
            try:
                async with asyncio.timeout(5):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            if self._pending or self._cursors != saved or self._ended:
                try:
                    saved = await self._store_batch()
                except Unavailable:
                    self._wake.set()
                    await asyncio.sleep(0.5)
                    continue
            async with self._flushed:
                self._flushes += 1
                self._flushed.notify_all()
            await asyncio.sleep(0.02)  # lets a burst become one batch

    async def _store_batch(self) -> dict[str, str]:
        """→ how far the journals were read, as it is stored now."""
        if self._unheard is not None:
            was_stored = await self._was_stored(self._unheard)
            batch, self._unheard = self._unheard, None
            if was_stored:
                self._show(batch)
        cursors, ended = dict(self._cursors), set(self._ended)
        batch = await self._store_pending(cursors)
        self._unheard = None
        self._show(batch)
        for deployment_id in ended:
            self._recent.pop(deployment_id, None)
            self._numbers.pop(deployment_id, None)
            self._kept.pop(deployment_id, None)
            for kind in WorkKind:
                self._over.discard((kind, deployment_id))
        self._ended -= ended
        self._hub.publish(*(f"deployment-log:{one}" for one in ended))
        return cursors

    def _show(self, batch: _Batch) -> None:
        """To whoever follows: it is stored."""
        del self._pending[: batch.count]
        self._numbers = batch.numbers
        for deployment_id, line in batch.lines:
            if deployment_id in self._recent:
                self._recent[deployment_id].append(line)
        self._hub.publish(*(f"deployment-log:{one}" for one in {d for d, _ in batch.lines}))

    async def _was_stored(self, batch: _Batch) -> bool:
        """Nobody else numbers lines."""
        deployment_id, last = batch.lines[-1]
        return await self.last_number(deployment_id) >= last.number

    async def _store_pending(self, cursors: dict[str, str]) -> _Batch:
        pending = list(self._pending)
        numbers = dict(self._numbers)
        lines: list[tuple[int, LogLine]] = []
        batch = _Batch(len(pending), lines, numbers)
        async with self._db.transaction() as connection:
            wanted = {deployment_id for deployment_id, *_ in pending}
            known = await store.existing_deployments(connection, sorted(wanted)) if wanted else set()
            for deployment_id in known - numbers.keys():
                numbers[deployment_id] = await store.last_number(connection, deployment_id)
            for deployment_id, at, phase, text in pending:
                if deployment_id in known:
                    numbers[deployment_id] += 1
                    lines.append((deployment_id, LogLine(numbers[deployment_id], at, phase, text)))
            if lines:
                await store.copy_lines(connection, lines)
            for namespace, cursor in cursors.items():
                await store.put_cursor(connection, namespace, cursor)
            if lines:
                self._unheard = batch
        return batch

    def _matches(self, environment: Environment) -> list[str]:
        """Its lines, and journald's own word that some of them were not kept."""
        return [f"SYSLOG_IDENTIFIER=e{environment.id}", *self._names.dropped_of(environment.id)]

    def _runtime_lines(self, entries: Iterable[Entry], environment_id: int) -> list[RuntimeLine]:
        return [line for entry in entries if (line := self._runtime_line(entry, environment_id))]

    def _runtime_line(self, entry: Entry, environment_id: int) -> RuntimeLine | None:
        instance = entry.instance
        if instance is None or instance.environment != environment_id:
            return None
        text = not_kept(entry.dropped, self._rate.lines, self._rate.seconds) if entry.dropped else entry.text
        return RuntimeLine(entry.cursor, entry.at, instance.release, instance.process, instance.rank, text)


async def delete_logs(db: Database, deployment_ids: Iterable[int]) -> None:
    """Delete the lines of deployments, in parts. The deployments themselves go quickly afterwards."""
    for deployment_id in deployment_ids:
        async with db.connection() as connection:
            last = await store.last_number(connection, deployment_id)
            for after in range(0, last, LINES_AT_ONCE):
                await store.delete_lines(connection, deployment_id, after, after + LINES_AT_ONCE)


def not_kept(dropped: int, lines: int, seconds: int) -> str:
    """The mark in a log where lines are missing."""
    return f"Slipway: {dropped:,} lines were not kept: more than {lines:,} in {seconds} s."
