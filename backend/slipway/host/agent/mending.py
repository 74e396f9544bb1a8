"""Putting right what drifted (`drift`): at once what Slipway alone wrote, what a person changed only when asked to."""

import asyncio
import os
import stat
from pathlib import Path

import structlog

from slipway.errors import HostRefused
from slipway.host.agent import drift, environments, files, owners, sites, slots, trash
from slipway.host.agent.box import Box
from slipway.host.agent.drift import Found
from slipway.host.protocol import (
    Drift,
    Drifted,
    DriftKind,
    Mend,
    PutSlot,
    Thing,
    WantedEnvironment,
)

log = structlog.get_logger()
BY_ITSELF = frozenset(
    {
        (DriftKind.MISSING, Thing.UNIT),
        (DriftKind.STALE, Thing.UNIT),
        (DriftKind.MISSING, Thing.SITE),
        (DriftKind.STALE, Thing.SITE),
        (DriftKind.ORPHAN, Thing.SITE),
        (DriftKind.MISSING, Thing.USER),
        (DriftKind.MISSING, Thing.FOLDER),
        (DriftKind.ACCESS, Thing.FOLDER),
        (DriftKind.ACCESS, Thing.LAUNCHER),
        (DriftKind.ACCESS, Thing.SECRET),
        (DriftKind.FOREIGN, Thing.ROUTE),
        (DriftKind.MISSING, Thing.SLOT),
        (DriftKind.MISSING, Thing.OWN),
        (DriftKind.STALE, Thing.OWN),
    }
)
"""What is Slipway's and nobody meant to be otherwise; and what makes the box unsafe, whoever meant it."""
WHEN_ASKED = frozenset(
    {
        (DriftKind.CHANGED, Thing.UNIT),
        (DriftKind.OVERRIDE, Thing.UNIT),
        (DriftKind.CHANGED, Thing.SITE),
        (DriftKind.REFUSED, Thing.SITE),
        (DriftKind.FOREIGN, Thing.SITE),
        (DriftKind.CHANGED, Thing.OWN),
    }
)


async def mend(box: Box, verb: Mend) -> Drift:
    found = drift.look(box, None if verb.whole else [one.environment for one in verb.environments])
    work = _Mending(box, found, frozenset(verb.asked))
    for wanted in verb.environments:
        async with box.lock(f"environment {wanted.environment}"):
            environment = box.state.find(wanted.environment)
            if environment is None or environment.generation > wanted.generation:
                continue
            for entry in await asyncio.to_thread(drift.whatever_of, box, found, wanted):
                await work.take(entry, wanted)
    if verb.whole:
        known = {wanted.environment for wanted in verb.environments} | set(verb.others)
        places = {wanted.place for wanted in verb.environments}
        for entry in await asyncio.to_thread(list, drift.of_box(box, found, known, places)):
            await work.take(entry, None)
    await work.finish()
    return Drift(tuple(work.done))


class _Mending:
    """One round: sites and units are read again once, however many changed."""

    def __init__(self, box: Box, found: Found, asked: frozenset[str]) -> None:
        self._box = box
        self._found = found
        self._asked = asked
        self._sites: dict[int, str] = {}
        self._site_entries: list[Drifted] = []
        self._reads_units_again = False
        self._reloads_nginx = False
        self.done: list[Drifted] = []

    async def take(self, entry: Drifted, wanted: WantedEnvironment | None) -> None:
        what = (entry.kind, entry.thing)
        if what == (DriftKind.ORPHAN, Thing.UNIT) and wanted is None:
            await self._box.end_unit(entry.where)
            self.done.append(entry)
            return
        if what not in BY_ITSELF and not (what in WHEN_ASKED and entry.where in self._asked):
            return
        if entry.kind in (DriftKind.MISSING, DriftKind.STALE, DriftKind.CHANGED) and entry.thing is Thing.SITE:
            assert wanted is not None
            self._sites[wanted.environment] = sites.wanted_text(self._box, drift.put_site(self._box, wanted))
            self._site_entries.append(entry)
            return
        try:
            if await self._mend(entry, wanted):
                self.done.append(entry)
        except (HostRefused, OSError) as error:
            log.error("could not be mended", kind=entry.kind, where=entry.where, error=str(error))

    async def finish(self) -> None:
        if self._sites:
            try:
                await sites.put_all(self._box, self._sites)
                self.done += self._site_entries
            except HostRefused as error:
                log.error("sites could not be mended", error=error.message)
        elif self._reloads_nginx:
            await sites.read_again(self._box)
        if self._reads_units_again:
            self._box.systemd.read_units_again()

    async def _mend(self, entry: Drifted, wanted: WantedEnvironment | None) -> bool:
        box, file = self._box, Path(entry.where)
        match entry.thing:
            case Thing.UNIT if entry.kind is DriftKind.OVERRIDE:
                box.keep(file)
                self._reads_units_again = True
            case Thing.UNIT:
                assert wanted is not None
                return self._put_unit(entry, wanted)
            case Thing.SITE if entry.kind is DriftKind.ORPHAN:
                assert wanted is not None
                await sites.remove(box, wanted.environment)
            case Thing.SITE if wanted is not None or entry.environment is None:  # foreign
                box.keep(file)
                self._reloads_nginx = True
            case Thing.USER if entry.environment is None:
                number = drift.own_files(box).users[entry.where]
                await asyncio.to_thread(environments.make_user, entry.where, number)
            case Thing.USER:
                await asyncio.to_thread(environments.make_users, box, box.state.get(_of(entry)))
            case Thing.FOLDER if wanted is not None:
                environments.make_folders(box, box.state.get(wanted.environment))
            case Thing.FOLDER:
                box.make_folders()
            case Thing.LAUNCHER:
                group = box.run_group(box.state.get(_of(entry)))
                _close(file, 0o640, -1, group)
            case Thing.SECRET:
                root = 0 if box.settings.switches_users else -1
                _close(file, 0o600, root, root)
            case Thing.ROUTE:
                files.remove(file)
            case Thing.SLOT:
                assert wanted is not None
                return await self._put_slot(entry, wanted)
            case Thing.OWN if file == box.paths.owners:
                await owners.put(box)
            case Thing.OWN:
                self._put_own(entry)
            case _:
                return False
        return True

    def _put_unit(self, entry: Drifted, wanted: WantedEnvironment) -> bool:
        """The file, and the link that starts it at boot. One that does not run is written when it is started."""
        box, unit = self._box, Path(entry.where).name
        if not self._found.runs(unit):
            return False
        text, build = next(
            ((text, slot.build) for slot in wanted.slots for name, text in drift.texts(box, self._found, wanted, slot)
             if name == unit), ("", 0),
        )  # fmt: skip
        if not text:
            return False
        trash.check_built_for(box, wanted.environment, build)
        if entry.kind is DriftKind.CHANGED:
            box.keep(box.unit_folder / unit)
        files.write(box.unit_folder / unit, text)
        files.link(box.wants_folder / unit, f"../{unit}")
        self._reads_units_again = True
        return True

    async def _put_slot(self, entry: Drifted, wanted: WantedEnvironment) -> bool:
        for slot in wanted.slots:
            link = slots.folder(self._box, wanted.place, slot.number) / "public"
            if str(link) == entry.where and slot.public_folder is not None:
                await slots.put(
                    self._box,
                    PutSlot(wanted.environment, wanted.place, slot.number, wanted.generation, slot.build,
                            slot.public_folder),
                )  # fmt: skip
                return True
        return False

    def _put_own(self, entry: Drifted) -> None:
        box, file = self._box, Path(entry.where)
        text = drift.own_files(box).files[entry.where]
        if entry.kind is DriftKind.CHANGED:
            box.keep(file)
        files.write(file, text)
        if file.is_relative_to(box.paths.nginx):
            self._reloads_nginx = True
        else:
            self._reads_units_again = True


def _of(entry: Drifted) -> int:
    assert entry.environment is not None
    return entry.environment


def _close(file: Path, mode: int, owner: int, group: int) -> None:
    """Owner, group and mode of a regular file of root's; no link is followed."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.fchown(descriptor, owner, group)
            os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)
