"""Compares and repairs: at the start, when something says that it may differ, once an hour, and when a person asks.

Level-triggered: each round asks the database and the host agent what is so, whatever happened before. What is Slipway's
is put right; what a person changed is told.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import PurePath

import msgspec
import structlog

from slipway import clock
from slipway.apps import store as apps_store
from slipway.certificates.service import Certificates
from slipway.deployments.instances import put_release
from slipway.deployments.settler import Settler
from slipway.deployments.tools import Tools
from slipway.errors import Conflict, NotFound, SlipwayError, Unavailable
from slipway.events.models import SLIPWAY, Actor
from slipway.host.protocol import (
    Compare,
    Drift,
    Drifted,
    DriftKind,
    Inspect,
    Mend,
    PrepareEnvironment,
    RemoveEnvironment,
    Thing,
    WantedEnvironment,
)
from slipway.reconcile import store
from slipway.reconcile.models import ASKABLE, Finding, Known, Remedy, Repair, describe, find, identify, remedy, wanted
from slipway.releases import store as releases

log = structlog.get_logger()
AT_ONCE = 8
"""Environments that are being put right at the same time."""
MENDED_AT_ONCE = 200
"""Environments whose files are written together, with one reload of nginx; no deployment goes on there meanwhile."""
SETTLE_SECONDS = 60.0
"""How long a round waits for one environment to settle; it goes on where that takes longer."""
HINT_SECONDS = 5.0
"""From the first hint to the look that it causes: a deployment's many hints become one."""
LOOK_SECONDS = 60.0
"""How often it is asked whether the database was started anew."""
WAIT_SECONDS = 20.0
"""How long who asks for a repair waits for what goes on there, a deployment's clearing up say."""
UNDER_WAY = "A deployment is under way there. Ask again when it has ended."
MOST_REPAIRS = 200


OF_THE_BOX = frozenset({(DriftKind.UNKNOWN, Thing.ENVIRONMENT), (DriftKind.REFUSED, Thing.SITE)})
"""Seen only where the whole machine is looked at, though they name an environment."""


def batched(numbers: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(numbers), size):
        yield numbers[start : start + size]


class Report(msgspec.Struct, frozen=True):
    """What the newest look found, and what was put right lately."""

    at: datetime | None
    began: datetime | None
    seconds: float
    """What the look took, of the whole machine."""
    findings: list[Finding]
    more: int
    """Findings beyond those."""
    repairs: list[Repair]
    """Without anybody's asking."""
    asked: list[Repair] = []
    """What was put right because a person asked for it, in the answer to that."""


def _was_not_looked_at(one: Finding, seen: "_Look", only: Sequence[int] | None) -> bool:
    """What was found there before is told until somebody looks again."""
    number = one.environment_id
    if (one.kind, one.thing) in OF_THE_BOX or number is None:
        return only is not None
    return number in seen.others or (only is not None and number not in only)


def _repair(entry: Drifted, known: Known | None, at: datetime) -> Repair:
    app, name = (known.app, known.name) if known else (None, None)
    return Repair(at, describe(entry), entry.where, app, name, entry.environment, entry.detail)


def _hostname(entry: Drifted) -> str:
    """Whose certificate it is: each of its files is named so."""
    return PurePath(entry.where).stem


class _Look(msgspec.Struct, frozen=True):
    known: dict[int, Known]
    wanted: dict[int, WantedEnvironment]
    others: tuple[int, ...]
    """Environments that are left alone now."""
    unsettled: set[int]
    entries: tuple[Drifted, ...]
    more: int


class Reconciler:
    def __init__(self, tools: Tools, settler: Settler, certificates: Certificates, every_seconds: int) -> None:
        self._tools = tools
        self._settler = settler
        self._certificates = certificates
        self._every = every_seconds
        self._busy = asyncio.Lock()
        self._next: asyncio.Task[Report] | None = None
        self._woken = asyncio.Event()
        self._all = True
        self._hinted: set[int] = set()
        self._first_seen: dict[str, datetime] = {}
        self._findings: list[Finding] = []
        self._more = 0
        self._repairs: list[Repair] = []
        self._at: datetime | None = None
        self._began: datetime | None = None
        self._seconds = 0.0

    # ---- when ----------------------------------------------------------------------------------------------------

    def wake(self) -> None:
        """Everything may differ: the host agent is back, say."""
        self._all = True
        self._woken.set()

    def hint(self, environment_id: int) -> None:
        """Something of one environment started or ended."""
        self._hinted.add(environment_id)
        self._woken.set()

    async def run(self) -> None:
        """For ever. A database or an agent that is away is waited for."""
        loop = asyncio.get_running_loop()
        due, database = loop.time(), None
        while True:
            try:
                async with self._tools.db.connection() as connection:
                    started = await store.started_at(connection)
                if self._all or loop.time() >= due or started != database:
                    await self.look()
                    due, database = loop.time() + self._every, started
                elif self._hinted:
                    async with self._busy:
                        hinted, self._hinted = self._hinted, set()
                        try:
                            await self._round(sorted(hinted))
                        except Unavailable:
                            self._hinted |= hinted
                            raise
            except Unavailable as error:
                log.info("reconcile.waiting", error=error.message)
                await asyncio.sleep(1)
                continue
            except SlipwayError as error:
                log.error("reconcile", error=error.message)
                due = loop.time() + self._every
            with suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_SECONDS, max(0, due - loop.time()))):
                    await self._woken.wait()
                    if not self._all:
                        await asyncio.sleep(HINT_SECONDS)
            self._woken.clear()

    async def look(self) -> Report:
        """One round over everything. Who asks while one is under way gets the next, together with all who ask."""
        if self._next is None:
            self._next = asyncio.create_task(self._look_next())
        return await asyncio.shield(self._next)

    async def _look_next(self) -> Report:
        async with self._busy:
            self._next = None
            self._all, self._hinted = False, set()
            try:
                await self._round(None)
            except BaseException:
                self._all = True
                raise
            return self.report()

    def report(self) -> Report:
        return Report(self._at, self._began, self._seconds, self._findings, self._more, self._repairs)

    @property
    def looked_at(self) -> datetime | None:
        """When the newest look at the whole machine ended."""
        return self._at

    def findings_for(self, team_ids: Sequence[int] | None) -> list[Finding]:
        """What the newest look found of the machine itself and of these teams' apps; None: of all."""
        return [one for one in self._findings if team_ids is None or one.team_id is None or one.team_id in team_ids]

    def findings_of(self, environment_id: int) -> list[Finding]:
        """What the newest look found of one environment."""
        return [one for one in self._findings if one.environment_id == environment_id]

    # ---- one round -----------------------------------------------------------------------------------------------

    async def _round(self, only: Sequence[int] | None) -> None:
        """Look; put right; look again at what differed. What differs still is what is told."""
        began, began_at = asyncio.get_running_loop().time(), clock.now()
        seen = await self._look(only, whole=only is None)
        if only is not None and set(only) - seen.known.keys():
            self.wake()  # something ran of what the database does not know
        if only is None:
            self._began, self._seconds = began_at, asyncio.get_running_loop().time() - began
            log.info("reconcile.looked", environments=len(seen.known), differ=len(seen.entries) + len(seen.unsettled),
                     seconds=round(self._seconds, 3))  # fmt: skip
        differing = {entry.environment for entry in seen.entries if entry.environment in seen.wanted} | seen.unsettled
        left = seen.entries
        if left or seen.unsettled:
            await self._put_right(seen, whole=only is None)
            left = (await self._look(sorted(differing), whole=False)).entries
            if only is None:
                left += await self._look_at_box()
            await self._tell_repairs(seen, left)
        self._keep(seen, left, only)
        self._tools.hub.publish("drift", *(f"environment:{number}" for number in differing))

    async def _look(self, only: Sequence[int] | None, *, whole: bool) -> _Look:
        """What the database says, in a few statements, compared by the host agent with what is there."""
        async with self._tools.db.connection() as connection:
            known = {one.id: one for one in await store.list_known(connection, only)}
            slots = await store.list_slots(connection, only)
            kept = await store.list_kept(connection, only)
            unsettled = await store.list_unsettled(connection, only)
        left_alone = {one.id for one in known.values() if one.busy or one.leaving}
        should = {
            one.id: wanted(one, slots.get(one.id, ()), kept.get(one.id, ()), self._hostnames(one))
            for one in known.values()
            if one.id not in left_alone
        }
        others = tuple(sorted(left_alone))
        drift = await self._compare(tuple(should.values()), whole, others)
        unsettled -= left_alone
        entries = tuple(one for one in drift.entries if not self._is_under_way(one, unsettled))
        return _Look(known, should, others, unsettled, entries, drift.more)

    async def _compare(self, should: tuple[WantedEnvironment, ...], whole: bool, others: tuple[int, ...]) -> Drift:
        certificates = await self._certificates.files() if whole else None
        drift = await self._tools.host.call(Compare(should, whole, others, certificates))
        if not whole or all(one.thing is not Thing.CERTIFICATE for one in drift.entries):
            return drift
        if await self._certificates.files() == certificates:
            return drift
        # One came or went while they were looked at.
        return Drift(tuple(one for one in drift.entries if one.thing is not Thing.CERTIFICATE), drift.more)

    def _is_under_way(self, entry: Drifted, unsettled: set[int]) -> bool:
        """Somebody is at work there, or settling ends it in the ordinary course: that is no drift.

        What a person changed is told all the same.
        """
        number = entry.environment
        if number is None or remedy(entry) is Remedy.NONE:
            return False
        leaving = number in unsettled and (entry.kind, entry.thing) == (DriftKind.ORPHAN, Thing.UNIT)
        return leaving or (number in self._tools.locks and self._tools.locks[number].locked())

    async def _look_at_box(self) -> tuple[Drifted, ...]:
        """Only what belongs to no environment."""
        async with self._tools.db.connection() as connection:
            known = await store.list_known(connection, None)
        numbers = tuple(one.id for one in known)
        return (await self._compare((), True, numbers)).entries

    def _hostnames(self, known: Known) -> tuple[str, ...]:
        return (self._tools.settings.app_hostname(known.app, known.name),)

    def _keep(self, seen: _Look, left: Iterable[Drifted], only: Sequence[int] | None) -> None:
        """What is told from now on: of everything, or of the environments that were looked at."""
        kept = [one for one in self._findings if _was_not_looked_at(one, seen, only)]
        now = clock.now()
        for entry in left:
            since = self._first_seen.setdefault(identify(entry), now)
            known = seen.known.get(entry.environment) if entry.environment is not None else None
            kept.append(find(entry, known, since))
        self._findings = kept
        self._first_seen = {one.id: self._first_seen.get(one.id, one.since) for one in kept}
        if only is None:
            self._at, self._more = now, seen.more

    # ---- putting right -------------------------------------------------------------------------------------------

    async def _put_right(self, seen: _Look, *, whole: bool) -> None:
        by_remedy: defaultdict[Remedy, defaultdict[int, list[Drifted]]] = defaultdict(lambda: defaultdict(list))
        for entry in seen.entries:
            if entry.environment is not None:
                by_remedy[remedy(entry)][entry.environment].append(entry)
        await self._each(by_remedy[Remedy.GENERATION], lambda number: self._take_over_generation(
            number, by_remedy[Remedy.GENERATION][number]))  # fmt: skip
        await self._each(by_remedy[Remedy.PREPARE], lambda number: self._prepare(seen.known[number]))
        mended = by_remedy[Remedy.MEND].keys() | by_remedy[Remedy.PREPARE].keys()
        boxwide = any(entry.environment is None and remedy(entry) is Remedy.MEND for entry in seen.entries)
        for chunk in batched(sorted(mended), MENDED_AT_ONCE):
            await self._mend(chunk, whole=False)
        if whole and boxwide:
            await self._mend([], whole=True)
        for hostname in sorted({_hostname(entry) for entry in seen.entries if remedy(entry) is Remedy.CERTIFICATE}):
            try:
                await self._certificates.put_right(hostname)
            except SlipwayError as error:
                log.error("reconcile.refused", certificate=hostname, error=error.message)
        # An environment that was only just made here lacks all its launcher files.
        missing = {number: [entry.release for entry in entries if entry.release is not None]
                   for number, entries in by_remedy[Remedy.RELEASE].items()}  # fmt: skip
        missing |= {number: list(seen.wanted[number].releases) for number in by_remedy[Remedy.PREPARE]}
        await self._each(missing, lambda number: self._put_releases(number, missing[number]))
        unsettled = seen.unsettled | by_remedy[Remedy.SETTLE].keys() | by_remedy[Remedy.PREPARE].keys()
        await self._each(sorted(unsettled), lambda number: self._settler.settle(number, SETTLE_SECONDS))

    async def _each(self, numbers: Iterable[int], do: Callable[[int], Awaitable[None]]) -> None:
        """Some at a time. One that is refused keeps none of the others from it; what is away is waited for by run."""
        limit = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> None:
            async with limit:
                try:
                    await do(number)
                except (Unavailable, NotFound):
                    pass  # the next round finds it again, or that it is gone
                except SlipwayError as error:
                    log.error("reconcile.refused", environment=number, error=error.message)

        await asyncio.gather(*(one(number) for number in numbers))

    async def _take_over_generation(self, number: int, entries: Iterable[Drifted]) -> None:
        newest = max(entry.generation or 0 for entry in entries)
        async with self._tools.db.transaction() as connection:
            await store.raise_generation(connection, number, newest)

    async def _prepare(self, known: Known) -> None:
        await self._tools.host.call(PrepareEnvironment(known.id, known.place))

    async def _put_releases(self, number: int, missing: Iterable[int]) -> None:
        async with self._tools.db.connection() as connection:
            environment = await apps_store.get_environment_by_id(connection, number)
            app = await apps_store.get_app_by_id(connection, environment.app_id)
            found = [await releases.find_by_number(connection, number, release) for release in missing]
        for release in found:
            if release is not None and release.pruned_at is None:
                await put_release(self._tools, app, environment, environment.generation, release)

    async def _mend(self, numbers: Sequence[int], *, whole: bool, asked: tuple[str, ...] = ()) -> None:
        """With the locks of the environments, so that no deployment or settling changes them meanwhile."""
        async with AsyncExitStack() as held:
            mine = [number for number in numbers if not self._tools.locks[number].locked()]
            for number in mine:
                await held.enter_async_context(self._tools.locks[number])
            async with self._tools.db.connection() as connection:
                known = await store.list_known(connection, None if whole else mine)
                slots = await store.list_slots(connection, mine)
                kept = await store.list_kept(connection, mine)
            should = tuple(
                wanted(one, slots.get(one.id, ()), kept.get(one.id, ()), self._hostnames(one))
                for one in known
                if one.id in mine and not one.busy and not one.leaving
            )
            others = tuple(one.id for one in known if one.id not in mine)
            await self._tools.host.call(Mend(should, whole, others, asked))

    async def _tell_repairs(self, seen: _Look, left: Iterable[Drifted]) -> None:
        """What differed, was to be put right, and differs no more."""
        still = {identify(entry) for entry in left}
        now = clock.now()
        for entry in seen.entries:
            if remedy(entry) is Remedy.NONE or identify(entry) in still:
                continue
            known = seen.known.get(entry.environment) if entry.environment is not None else None
            what = describe(entry)
            log.warning("reconcile.repaired", what=what, where=entry.where, environment=entry.environment)
            self._repairs = [_repair(entry, known, now), *self._repairs[: MOST_REPAIRS - 1]]
            await self._record("drift.repaired", SLIPWAY, known, what=what, where=entry.where)

    async def _record(self, kind: str, actor: Actor, known: Known | None, **data: str) -> None:
        async with self._tools.db.transaction() as connection:
            await self._tools.events.record(
                connection, kind, actor, team_id=known.team_id if known else None,
                app_id=known.app_id if known else None, environment_id=known.id if known else None, **data,
            )  # fmt: skip

    # ---- when a person asks --------------------------------------------------------------------------------------

    async def repair(self, actor: Actor, asked: str) -> Report:
        """Put right what a person changed: one finding, or all of an app by its name. → what is found then.

        Raises NotFound where there is nothing of the kind, Conflict where it is not for Slipway or not now.
        """
        async with self._busy:
            seen = await self._look(None, whole=True)
            of_app = {one.id for one in seen.known.values() if one.app == asked}
            entries = [one for one in seen.entries if identify(one) == asked or one.environment in of_app]
            if not entries:
                if any(asked in (one.id, one.app) for one in self._findings if one.environment_id in seen.others):
                    raise Conflict(UNDER_WAY)
                raise NotFound(f"There is no finding {asked!r}, nor anything wrong with an app of that name.")
            askable = [one for one in entries if (one.kind, one.thing) in ASKABLE]
            if not askable:
                raise Conflict("This is not for Slipway to put right: `slipway doctor` says what to do.")
            await self._wait_for({one.environment for one in askable if one.environment is not None})
            for entry in askable:
                await self._take_back(entry)
                known = seen.known.get(entry.environment) if entry.environment is not None else None
                await self._record("drift.repaired", actor, known, what=describe(entry), where=entry.where)
            await self._round(None)
            left, now = {one.id for one in self._findings}, clock.now()
            done = [
                _repair(entry, seen.known.get(entry.environment) if entry.environment is not None else None, now)
                for entry in askable
                if identify(entry) not in left
            ]
            return msgspec.structs.replace(self.report(), asked=done)

    async def _wait_for(self, environments: Iterable[int]) -> None:
        """Until nobody is at work there: who asks right after a deployment need not know that it still clears up."""
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                for number in environments:
                    async with self._tools.locks[number]:
                        pass
        except TimeoutError:
            raise Conflict(UNDER_WAY) from None

    async def _take_back(self, entry: Drifted) -> None:
        if entry.kind is DriftKind.UNKNOWN:
            await self._remove(entry)
        elif entry.thing is Thing.CERTIFICATE:
            await self._certificates.replace(_hostname(entry))
        elif entry.thing is Thing.LAUNCHER and entry.environment is not None and entry.release is not None:
            await self._put_releases(entry.environment, [entry.release])
        else:
            numbers = [] if entry.environment is None else [entry.environment]
            await self._mend(numbers, whole=entry.environment is None, asked=(entry.where,))

    async def _remove(self, entry: Drifted) -> None:
        """An environment that the database does not know, asked for by name."""
        assert entry.environment is not None
        box = await self._tools.host.call(Inspect())
        place = next((route.place for route in box.routes if route.environment == entry.environment), None)
        if place is not None:
            await self._tools.host.call(RemoveEnvironment(entry.environment, place))
