"""What should be, compared with what is: units, sites, routes, users, folders, and Slipway's own files.

Everything is read from where it lies, and no link is followed. What Slipway wrote is known by its signature
(`host/written.py`), so that what a person changed is told from what only another release of Slipway wrote otherwise.
"""

import asyncio
import difflib
import grp
import json
import os
import pwd
import re
import stat
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from slipway.errors import SlipwayError
from slipway.host.agent import certificates, environments, owners, releases, routes, sites, slots
from slipway.host.agent.box import Box
from slipway.host.agent.state import Environment
from slipway.host.protocol import (
    Compare,
    Drift,
    Drifted,
    DriftKind,
    Instance,
    PutSite,
    Thing,
    WantedEnvironment,
    WantedSlot,
)
from slipway.host.written import SITE, is_own, read, read_bytes
from slipway.settings import Mode

MOST_ENTRIES = 2000
MAX_DIFF = 8000
"""Characters of one."""
MAX_DIFFS = 1_000_000
"""Characters of all."""
FEW = 20
"""Environments that systemd is asked about by name: about all of a thousand its answer is long."""
MAX_LAUNCHER = 16 * 1024 * 1024
_MARKER = re.compile(r"(?P<place>[1-9][0-9]{0,3})\.(?P<slot>[1-3])")


class OwnFiles(msgspec.Struct, frozen=True):
    """Slipway's own units and configuration, as the installer wrote them."""

    files: dict[str, str] = {}
    units: tuple[str, ...] = ()
    users: dict[str, int] = {}


@dataclass
class Found:
    """What one look at the machine shows, for all environments at once."""

    states: Mapping[str, str]
    """Unit → ActiveState, of those in systemd's memory."""
    unit_files: frozenset[str]
    wants: frozenset[str]
    markers: Mapping[int, set[int]]
    """Place → slots that have a marker."""
    users: Mapping[str, int]
    groups: Mapping[str, int]
    overrides: Mapping[str, list[Path]]
    """Unit → drop-ins."""
    units: Mapping[int, list[tuple[str, Instance]]]
    """Environment → its instances that have a file or run."""

    def runs(self, unit: str) -> bool:
        return self.states.get(unit, "inactive") not in ("inactive", "failed")


async def compare(box: Box, verb: Compare) -> Drift:
    found = look(box, None if verb.whole else [one.environment for one in verb.environments])
    return await asyncio.to_thread(lambda: _bounded(_all(box, found, verb)))


def _all(box: Box, found: Found, verb: Compare) -> Iterator[Drifted]:
    for wanted in verb.environments:
        yield from whatever_of(box, found, wanted)
    if verb.whole:
        known = {wanted.environment for wanted in verb.environments} | set(verb.others)
        yield from of_box(box, found, known, {wanted.place for wanted in verb.environments})
    if verb.certificates is not None:
        yield from certificates.drift(box, verb.certificates)


def _bounded(entries: Iterator[Drifted]) -> Drift:
    kept: list[Drifted] = []
    more, room = 0, MAX_DIFFS
    for entry in entries:
        if len(kept) == MOST_ENTRIES:
            more += 1
            continue
        if entry.diff is not None and len(entry.diff) > room:
            kept.append(msgspec.structs.replace(entry, diff=None, detail="too much differs to show it all"))
        else:
            room -= len(entry.diff or "")
            kept.append(entry)
    return Drift(tuple(kept), more)


def look(box: Box, only: Sequence[int] | None) -> Found:
    """One question for systemd, one reading of each folder: as many for a thousand environments as for one."""
    few = only is not None and len(only) <= FEW
    prefixes = tuple(f"{box.names.prefix}-e{number}-" for number in only or ()) if few else (f"{box.names.prefix}-e",)
    states = {row.unit: row.active for row in box.systemd.listed(*(f"{one}*.service" for one in prefixes))}
    unit_files = frozenset(name for name in _names(box.unit_folder) if name.startswith(prefixes))
    units = defaultdict(list)
    for unit in unit_files | {unit for unit, active in states.items() if active not in ("inactive", "failed")}:
        if (instance := box.names.find_instance(unit)) is not None:
            units[instance.environment].append((unit, instance))
    markers: defaultdict[int, set[int]] = defaultdict(set)
    for name in _names(box.paths.live):
        if match := _MARKER.fullmatch(name):
            markers[int(match["place"])].add(int(match["slot"]))
    return Found(
        states=states,
        unit_files=unit_files,
        wants=frozenset(_names(box.wants_folder)),
        markers=markers,
        users={user.pw_name: user.pw_uid for user in pwd.getpwall()},
        groups={group.gr_name: group.gr_gid for group in grp.getgrall()},
        overrides=_overrides(box),
        units=units,
    )


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except FileNotFoundError:
        return []


def _overrides(box: Box) -> dict[str, list[Path]]:
    """Drop-ins of Slipway's units, wherever systemd looks for them; those of `slipway-.service.d` count for all."""
    found: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in map(Path, box.systemd.unit_path()):
        for name in _names(folder):
            if name.endswith(".d") and name.startswith("slipway") and not (folder / name).is_symlink():
                unit = name.removesuffix(".d")
                found[unit] += [folder / name / file for file in _names(folder / name) if file.endswith(".conf")]
    return found


# ---- one environment ---------------------------------------------------------------------------------------------


def whatever_of(box: Box, found: Found, wanted: WantedEnvironment) -> list[Drifted]:
    """What differs of one; that it could not be looked at, where that is so: the others are."""
    try:
        return list(of_environment(box, found, wanted))
    except (SlipwayError, OSError) as error:
        where = f"environment {wanted.environment}"
        return [Drifted(DriftKind.REFUSED, Thing.ENVIRONMENT, where, wanted.environment, detail=str(error))]


def of_environment(box: Box, found: Found, wanted: WantedEnvironment) -> Iterator[Drifted]:
    environment = box.state.find(wanted.environment)
    number = wanted.environment
    if environment is None:
        if wanted.slots:
            yield Drifted(DriftKind.MISSING, Thing.ENVIRONMENT, f"environment {number}", number)
        return
    if environment.place != wanted.place:
        detail = f"it has place {environment.place} here, and place {wanted.place} in the database"
        yield Drifted(DriftKind.CHANGED, Thing.ENVIRONMENT, f"environment {number}", number, detail=detail)
        return
    if environment.generation > wanted.generation:
        yield Drifted(
            DriftKind.AHEAD, Thing.ENVIRONMENT, f"environment {number}", number, generation=environment.generation
        )
    yield from _people(box, found, environment)
    yield from _folders(box, environment)
    for release in wanted.releases:
        yield from _launcher(box, environment, release)
    for build in wanted.builds:
        if not _is_folder(box.paths.builds / str(build)):
            yield Drifted(DriftKind.MISSING, Thing.BUILD, str(box.paths.builds / str(build)), number)
    yield from _units(box, found, wanted)
    yield from _site(box, wanted)
    yield from _route(box, found, wanted)


def _people(box: Box, found: Found, environment: Environment) -> Iterator[Drifted]:
    if not box.settings.switches_users:
        return
    number = environment.environment
    for name, uid in (
        (box.names.run_user(number), environment.run_uid),
        (box.names.build_user(number), environment.build_uid),
    ):
        there = (found.users.get(name), found.groups.get(name))
        if None in there:
            yield Drifted(DriftKind.MISSING, Thing.USER, name, number)
        elif there != (uid, uid):
            detail = f"user and group have the numbers {there[0]} and {there[1]}; its files belong to {uid}"
            yield Drifted(DriftKind.CHANGED, Thing.USER, name, number, detail=detail)


def _folders(box: Box, environment: Environment) -> Iterator[Drifted]:
    for path, mode, owner, group in environments.folders(box, environment):
        yield from _access(path, mode, owner, group, stat.S_ISDIR, Thing.FOLDER, environment.environment)


def _access(
    path: Path,
    mode: int,
    owner: int,
    group: int,
    is_kind: Callable[[int], bool],
    thing: Thing,
    environment: int | None = None,
) -> Iterator[Drifted]:
    """Whether a folder or file is there, and is whose and as open as it should be. -1: whoever's."""
    try:
        there = os.lstat(path)
    except FileNotFoundError:
        yield Drifted(DriftKind.MISSING, thing, str(path), environment)
        return
    if not is_kind(there.st_mode):
        detail = "it is a link or something else than it should be"
        yield Drifted(DriftKind.FOREIGN, thing, str(path), environment, detail=detail)
        return
    wrong = []
    if stat.S_IMODE(there.st_mode) != mode:
        wrong.append(f"mode {stat.S_IMODE(there.st_mode):04o} instead of {mode:04o}")
    if owner not in (-1, there.st_uid):
        wrong.append(f"owner {there.st_uid} instead of {owner}")
    if group not in (-1, there.st_gid):
        wrong.append(f"group {there.st_gid} instead of {group}")
    if wrong:
        yield Drifted(DriftKind.ACCESS, thing, str(path), environment, detail=", ".join(wrong))


def _launcher(box: Box, environment: Environment, release: int) -> Iterator[Drifted]:
    file = box.units.launch_file(environment.environment, release)
    for entry in _access(file, 0o640, -1, box.run_group(environment), stat.S_ISREG, Thing.LAUNCHER):
        yield msgspec.structs.replace(entry, environment=environment.environment, release=release)
        if entry.kind is not DriftKind.ACCESS:
            return
    content = read_bytes(str(file), MAX_LAUNCHER)
    if content is None or not releases.is_own(content):
        yield Drifted(
            DriftKind.CHANGED, Thing.LAUNCHER, str(file), environment.environment, release, changed_at=_since(file),
            detail="it holds secrets, so that what was changed is not shown",
        )  # fmt: skip


def _units(box: Box, found: Found, wanted: WantedEnvironment) -> Iterator[Drifted]:
    number = wanted.environment
    explained = set()
    for slot in wanted.slots:
        runs = False
        for unit, text in texts(box, found, wanted, slot):
            explained.add(unit)
            yield from _unit(box, found, number, unit, text)
            runs = runs or found.runs(unit)
            if slot.live and not found.runs(unit):
                yield Drifted(DriftKind.STOPPED, Thing.UNIT, unit, number, slot.release)
        if not slot.live and slot.public_folder is None and not runs:
            detail = f"slot {slot.number} was kept warm"
            yield Drifted(DriftKind.STOPPED, Thing.SLOT, f"slot {slot.number}", number, slot.release, detail=detail)
        if slot.public_folder is not None:
            yield from _public(box, wanted, slot)
    for unit, instance in found.units.get(number, ()):
        if unit not in explained:
            yield Drifted(DriftKind.ORPHAN, Thing.UNIT, unit, number, instance.release)


def texts(box: Box, found: Found, wanted: WantedEnvironment, slot: WantedSlot) -> Iterator[tuple[str, str]]:
    """Each unit that a slot explains, and its text. Of one that is not live: those of `web` that are there."""
    if slot.live:
        instances = [
            Instance(wanted.environment, slot.release, slot.generation, slot.number * (process == "web"), process, rank)
            for process, count in slot.counts.items()
            for rank in range(count)
        ]
    else:
        this = (slot.release, slot.generation, slot.number, "web")
        instances = [
            one
            for _, one in found.units.get(wanted.environment, ())
            if (one.release, one.generation, one.slot, one.process) == this
        ]
    for instance in instances:
        text = box.units.instance(
            instance,
            account=box.run_account(wanted.environment),
            build=slot.build,
            port=box.settings.port(wanted.place, instance.slot, instance.rank) if instance.slot else 0,
            limits=slot.limits,
            stop_seconds=slot.stop_seconds,
        )
        yield box.names.instance(instance), text


def _unit(box: Box, found: Found, environment: int, unit: str, text: str) -> Iterator[Drifted]:
    file = box.unit_folder / unit
    if unit not in found.unit_files:
        yield Drifted(DriftKind.MISSING, Thing.UNIT, str(file), environment)
    else:
        yield from _text(file, text, Thing.UNIT, environment)
        if unit not in found.wants:
            detail = "it would not start at boot"
            yield Drifted(DriftKind.MISSING, Thing.UNIT, str(box.wants_folder / unit), environment, detail=detail)
    for override in found.overrides.get(unit, ()):
        yield _override(override, environment)


def _text(file: Path, text: str, thing: Thing, environment: int | None) -> Iterator[Drifted]:
    there = read(str(file))
    if there == text:
        return
    if there is not None and is_own(there):
        yield Drifted(DriftKind.STALE, thing, str(file), environment)
    else:
        diff = difference(file, text, there)
        yield Drifted(DriftKind.CHANGED, thing, str(file), environment, diff=diff, changed_at=_since(file))


def _override(file: Path, environment: int | None = None) -> Drifted:
    diff = difference(file, "", read(str(file)))
    return Drifted(DriftKind.OVERRIDE, Thing.UNIT, str(file), environment, diff=diff, changed_at=_since(file))


def _public(box: Box, wanted: WantedEnvironment, slot: WantedSlot) -> Iterator[Drifted]:
    link = slots.folder(box, wanted.place, slot.number) / "public"
    try:
        right = os.readlink(link) == slot.public_folder
    except OSError:
        right = False
    if not right:
        yield Drifted(DriftKind.MISSING, Thing.SLOT, str(link), wanted.environment, slot.release)


def _site(box: Box, wanted: WantedEnvironment) -> Iterator[Drifted]:
    file = sites.site_file(box, wanted.environment)
    live = any(slot.live for slot in wanted.slots)
    if not live:
        return
    if wanted.hostnames:
        if not os.path.lexists(file):
            yield Drifted(DriftKind.MISSING, Thing.SITE, str(file), wanted.environment)
        else:
            yield from _text(file, sites.wanted_text(box, put_site(box, wanted)), Thing.SITE, wanted.environment)
    elif os.path.lexists(file):
        yield Drifted(DriftKind.ORPHAN, Thing.SITE, str(file), wanted.environment)


def put_site(box: Box, wanted: WantedEnvironment) -> PutSite:
    for hostname in wanted.hostnames:
        sites.check_hostname_of_app(box, hostname)
    return PutSite(wanted.environment, wanted.place, wanted.hostnames, False, wanted.web_count)


def _route(box: Box, found: Found, wanted: WantedEnvironment) -> Iterator[Drifted]:
    now = routes.current(box, wanted.place)
    where = str(box.paths.live / (f"{wanted.place}.{now}" if now else str(wanted.place)))
    if now != wanted.route:
        detail = f"the traffic goes to {_slot(now)} instead of {_slot(wanted.route)}"
        yield Drifted(DriftKind.ROUTE, Thing.ROUTE, where, wanted.environment, detail=detail)
        return
    for slot in found.markers.get(wanted.place, set()) - {now}:
        yield Drifted(DriftKind.FOREIGN, Thing.ROUTE, str(box.paths.live / f"{wanted.place}.{slot}"),
                      wanted.environment)  # fmt: skip


def _slot(number: int) -> str:
    return f"slot {number}" if number else "nowhere"


# ---- the whole machine -------------------------------------------------------------------------------------------


def of_box(box: Box, found: Found, known: set[int], places: set[int]) -> Iterator[Drifted]:
    """What is no environment's. `known` are all that the database knows, `places` those of the ones looked at."""
    for folder in box.folders():
        yield from _access(folder.path, folder.mode, folder.owner, folder.group, stat.S_ISDIR, Thing.FOLDER)
    root = 0 if box.settings.switches_users else -1
    secrets = [box.paths.key, *(box.paths.certificates / name for name in _names(box.paths.certificates))]
    if box.settings.http.tls:
        secrets.append(box.paths.tls / "key.pem")
    for secret in secrets:
        yield from _access(secret, 0o600, root, root, stat.S_ISREG, Thing.SECRET)
    certificate = box.paths.tls / "certificate.pem"
    if box.settings.http.tls and not os.path.lexists(certificate):
        yield Drifted(DriftKind.MISSING, Thing.SECRET, str(certificate))
    yield from _own(box, found)
    yield from _owners(box)
    here = {environment.environment: environment.place for environment in box.state.environments()}
    for number in here.keys() - known:
        yield Drifted(DriftKind.UNKNOWN, Thing.ENVIRONMENT, f"environment {number}", number)
    for number in found.units.keys() - known - here.keys():
        for unit, instance in found.units[number]:
            yield Drifted(DriftKind.ORPHAN, Thing.UNIT, unit, None, instance.release)
    for name in sorted(_names(box.paths.nginx / "sites")):
        number = int(name.removesuffix(".conf")) if SITE.fullmatch(name) else 0
        if name.startswith(".") or number in known or number in here:
            continue
        file = box.paths.nginx / "sites" / name
        yield Drifted(DriftKind.FOREIGN, Thing.SITE, str(file), diff=difference(file, "", read(str(file))),
                      changed_at=_since(file))  # fmt: skip
    for place in found.markers.keys() - set(here.values()) - places:
        for slot in found.markers[place]:
            yield Drifted(DriftKind.FOREIGN, Thing.ROUTE, str(box.paths.live / f"{place}.{slot}"))
    for name, words in json.loads(read(str(box.paths.nginx_left_out)) or "{}").items():
        site = Path(name).stem
        number = int(site) if site.isdigit() else 0
        yield Drifted(DriftKind.REFUSED, Thing.SITE, name, number if number in known else None, detail=words)


def _own(box: Box, found: Found) -> Iterator[Drifted]:
    own = own_files(box)
    for name, text in own.files.items():
        file = Path(name)
        there = read(name)
        if there is None and not os.path.lexists(file):
            yield Drifted(DriftKind.MISSING, Thing.OWN, name)
        elif there != text:
            yield Drifted(DriftKind.CHANGED, Thing.OWN, name, diff=difference(file, text, there),
                          changed_at=_since(file))  # fmt: skip
    for user, uid in own.users.items():
        if user not in found.users or user not in found.groups:
            yield Drifted(DriftKind.MISSING, Thing.USER, user)
        elif found.users[user] != uid:
            detail = f"it has the number {found.users[user]} instead of {uid}"
            yield Drifted(DriftKind.CHANGED, Thing.USER, user, detail=detail)
    for unit in (*own.units, f"{box.names.apps_target}", "slipway-.service", "slipway-.slice"):
        for override in found.overrides.get(unit, ()):
            yield _override(override)


def _owners(box: Box) -> Iterator[Drifted]:
    """Of this file a person has nothing to say: whoever changed it, it is not as the agent's records have it."""
    file = box.paths.owners
    if box.settings.mode is not Mode.SERVER:
        return
    if not os.path.lexists(file):
        yield Drifted(DriftKind.MISSING, Thing.OWN, str(file))
    elif read(str(file)) != owners.wanted_text(box):
        yield Drifted(DriftKind.STALE, Thing.OWN, str(file))


def own_files(box: Box) -> OwnFiles:
    try:
        return msgspec.json.decode(box.paths.own_files.read_bytes(), type=OwnFiles)
    except (OSError, msgspec.MsgspecError):
        return OwnFiles()  # an installation from before this was kept


# ---- words -------------------------------------------------------------------------------------------------------


def difference(file: Path, was: str, there: str | None) -> str:
    """From what Slipway wrote to what is there, as `diff -u` says it."""
    if there is None:
        return "it is no file of text any more"
    before = f"{file} (Slipway's)" if was else "/dev/null"
    lines = difflib.unified_diff(was.splitlines(), there.splitlines(), before, str(file), lineterm="")
    text = "\n".join(lines)
    return text if len(text) <= MAX_DIFF else f"{text[:MAX_DIFF]}\n…"


def _since(file: Path) -> float | None:
    try:
        return os.lstat(file).st_mtime
    except OSError:
        return None


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(os.lstat(path).st_mode)
    except OSError:
        return False
