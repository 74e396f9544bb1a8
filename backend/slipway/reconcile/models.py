"""From what differs to what is done about it: pure rules."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import StrEnum

import msgspec

from slipway.apps.models import EnvironmentSettings
from slipway.host.protocol import Drifted, DriftKind, Limits, Thing, WantedEnvironment, WantedSlot
from slipway.routing.models import SlotRole
from slipway.settings import RANKS


class Remedy(StrEnum):
    """Who puts it right by itself."""

    SETTLE = "settle"
    """Settling its environment: starting, stopping, switching."""
    PREPARE = "prepare"
    """The host agent makes the environment's users and folders."""
    RELEASE = "release"
    """The launcher file is written anew, from the sealed variables."""
    GENERATION = "generation"
    """The database takes over the generation that the machine has seen."""
    MEND = "mend"
    """The host agent writes its own files anew."""
    CERTIFICATE = "certificate"
    """What is left of it goes, and where it is wanted, it is obtained anew."""
    NONE = "none"
    """A person decides."""


_REMEDIES: Mapping[tuple[DriftKind, Thing], Remedy] = {
    (DriftKind.MISSING, Thing.ENVIRONMENT): Remedy.PREPARE,
    (DriftKind.AHEAD, Thing.ENVIRONMENT): Remedy.GENERATION,
    (DriftKind.MISSING, Thing.LAUNCHER): Remedy.RELEASE,
    (DriftKind.ROUTE, Thing.ROUTE): Remedy.SETTLE,
    (DriftKind.STOPPED, Thing.UNIT): Remedy.SETTLE,
    (DriftKind.STOPPED, Thing.SLOT): Remedy.SETTLE,
    (DriftKind.ORPHAN, Thing.UNIT): Remedy.SETTLE,
    (DriftKind.MISSING, Thing.UNIT): Remedy.MEND,
    (DriftKind.STALE, Thing.UNIT): Remedy.MEND,
    (DriftKind.MISSING, Thing.SITE): Remedy.MEND,
    (DriftKind.STALE, Thing.SITE): Remedy.MEND,
    (DriftKind.ORPHAN, Thing.SITE): Remedy.MEND,
    (DriftKind.MISSING, Thing.USER): Remedy.MEND,
    (DriftKind.MISSING, Thing.FOLDER): Remedy.MEND,
    (DriftKind.ACCESS, Thing.FOLDER): Remedy.MEND,
    (DriftKind.ACCESS, Thing.LAUNCHER): Remedy.MEND,
    (DriftKind.ACCESS, Thing.SECRET): Remedy.MEND,
    (DriftKind.FOREIGN, Thing.ROUTE): Remedy.MEND,
    (DriftKind.MISSING, Thing.SLOT): Remedy.MEND,
    (DriftKind.MISSING, Thing.OWN): Remedy.MEND,
    (DriftKind.STALE, Thing.OWN): Remedy.MEND,
    (DriftKind.MISSING, Thing.CERTIFICATE): Remedy.CERTIFICATE,
    (DriftKind.ORPHAN, Thing.CERTIFICATE): Remedy.CERTIFICATE,
}

_WHAT: Mapping[tuple[DriftKind, Thing], str] = {
    (DriftKind.CHANGED, Thing.UNIT): "a unit was changed by hand",
    (DriftKind.CHANGED, Thing.SITE): "nginx's site was changed by hand",
    (DriftKind.CHANGED, Thing.LAUNCHER): "the file that says what to start was changed by hand",
    (DriftKind.CHANGED, Thing.OWN): "a file of Slipway's own was changed by hand",
    (DriftKind.CHANGED, Thing.USER): "a system user is not the one that it was",
    (DriftKind.CHANGED, Thing.ENVIRONMENT): "the machine has it at another place",
    (DriftKind.OVERRIDE, Thing.UNIT): "a drop-in changes a unit of Slipway's",
    (DriftKind.REFUSED, Thing.SITE): "nginx does not accept this site and serves it as it was before, if at all",
    (DriftKind.REFUSED, Thing.ENVIRONMENT): "the host agent cannot look at it",
    (DriftKind.FOREIGN, Thing.SITE): "a file that is not Slipway's lies among its sites; nginx does not read it",
    (DriftKind.FOREIGN, Thing.ROUTE): "a second route marker would send visitors elsewhere",
    (DriftKind.FOREIGN, Thing.FOLDER): "something else is in the place of a folder",
    (DriftKind.FOREIGN, Thing.LAUNCHER): "something else is in the place of the file that says what to start",
    (DriftKind.FOREIGN, Thing.SECRET): "something else is in the place of a key",
    (DriftKind.UNKNOWN, Thing.ENVIRONMENT): "the machine has an environment that the database does not know",
    (
        DriftKind.AHEAD,
        Thing.ENVIRONMENT,
    ): "the machine saw newer deployments than the database: an older one was restored",
    (DriftKind.MISSING, Thing.BUILD): "the files of a build are gone",
    (DriftKind.MISSING, Thing.SECRET): "a key or a certificate is gone",
    (DriftKind.MISSING, Thing.CERTIFICATE): "a name's certificate is gone",
    (DriftKind.ORPHAN, Thing.CERTIFICATE): "there is a certificate of a name that Slipway does not know",
    (DriftKind.FOREIGN, Thing.CERTIFICATE): "a file that is not Slipway's lies among its certificates",
    (DriftKind.CHANGED, Thing.CERTIFICATE): "a name's certificate was changed by hand",
    (DriftKind.MISSING, Thing.UNIT): "a unit's file is gone, or it would not start at boot",
    (DriftKind.MISSING, Thing.SITE): "nginx's site is gone",
    (DriftKind.MISSING, Thing.LAUNCHER): "the file that says what to start is gone",
    (DriftKind.MISSING, Thing.USER): "a system user or group is gone",
    (DriftKind.MISSING, Thing.FOLDER): "a folder is gone",
    (DriftKind.MISSING, Thing.SLOT): "a static site's link is gone or leads elsewhere",
    (DriftKind.MISSING, Thing.OWN): "a file of Slipway's own is gone",
    (DriftKind.MISSING, Thing.ENVIRONMENT): "the machine does not have it",
    (DriftKind.STALE, Thing.UNIT): "a unit is as another release of Slipway wrote it",
    (DriftKind.STALE, Thing.SITE): "nginx's site is as another release of Slipway wrote it",
    (DriftKind.STALE, Thing.OWN): "the firewall's list of whose port is whose is not as it should be",
    (DriftKind.ORPHAN, Thing.UNIT): "a unit runs that no release explains",
    (DriftKind.ORPHAN, Thing.SITE): "nginx has a site for what has no address",
    (DriftKind.STOPPED, Thing.UNIT): "what should run does not",
    (DriftKind.STOPPED, Thing.SLOT): "the release kept warm is not running any more",
    (DriftKind.ROUTE, Thing.ROUTE): "the traffic goes elsewhere than to the live release",
    (DriftKind.ACCESS, Thing.FOLDER): "a folder is open to others than it should be",
    (DriftKind.ACCESS, Thing.LAUNCHER): "a file with secrets is open to others than it should be",
    (DriftKind.ACCESS, Thing.SECRET): "a key is open to others than it should be",
}

_TODO: Mapping[tuple[DriftKind, Thing], str] = {
    (DriftKind.CHANGED, Thing.UNIT): "Put what you need into the app's settings (limits, commands, variables).",
    (DriftKind.CHANGED, Thing.SITE): "Put what you need into the app's settings.",
    (DriftKind.CHANGED, Thing.LAUNCHER): "Change variables and commands with `slipway env` and `slipway settings`.",
    (DriftKind.CHANGED, Thing.CERTIFICATE): "It is served until Slipway obtains the next one.",
    (DriftKind.CHANGED, Thing.USER): "Give the user its old number back (usermod, groupmod).",
    (DriftKind.CHANGED, Thing.ENVIRONMENT): "A database of another machine was restored here, it seems.",
    (DriftKind.REFUSED, Thing.ENVIRONMENT): "What it says is the reason; the host agent's log says more.",
    (DriftKind.FOREIGN, Thing.FOLDER): "Move it away; Slipway then makes the folder.",
    (DriftKind.FOREIGN, Thing.LAUNCHER): "Move it away; Slipway then writes the file.",
    (DriftKind.FOREIGN, Thing.CERTIFICATE): "Move it away.",
    (DriftKind.FOREIGN, Thing.SECRET): "Put the key back as a plain file.",
    (DriftKind.MISSING, Thing.BUILD): "That release cannot start again: deploy anew.",
    (DriftKind.MISSING, Thing.SECRET): "Restore it from a backup. Without the encryption key all variables are lost.",
    (DriftKind.UNKNOWN, Thing.ENVIRONMENT): "If it is to go, with its data:",
}
ASKABLE = frozenset(
    {
        (DriftKind.CHANGED, Thing.UNIT),
        (DriftKind.CHANGED, Thing.SITE),
        (DriftKind.CHANGED, Thing.LAUNCHER),
        (DriftKind.CHANGED, Thing.OWN),
        (DriftKind.CHANGED, Thing.CERTIFICATE),
        (DriftKind.OVERRIDE, Thing.UNIT),
        (DriftKind.REFUSED, Thing.SITE),
        (DriftKind.FOREIGN, Thing.SITE),
        (DriftKind.UNKNOWN, Thing.ENVIRONMENT),
    }
)
"""What Slipway puts right only when a person asks for it."""


class Finding(msgspec.Struct, frozen=True):
    """One thing that is not as it should be, in words. `id` is the same as long as it is the same thing."""

    id: str
    kind: DriftKind
    thing: Thing
    what: str
    where: str
    todo: str
    app: str | None
    environment: str | None
    environment_id: int | None
    team_id: int | None
    """Whose app it is of; None: the machine's."""
    since: datetime
    detail: str
    diff: str | None
    can_be_repaired: bool
    """By asking for it."""


class Repair(msgspec.Struct, frozen=True):
    """What was put right."""

    at: datetime
    what: str
    where: str
    app: str | None
    environment: str | None
    environment_id: int | None
    detail: str


class Known(msgspec.Struct, frozen=True):
    """An environment, as the database has it."""

    id: int
    name: str
    app: str
    app_id: int
    team_id: int
    place: int
    generation: int
    scale: dict[str, int]
    leaving: bool
    """It is being deleted."""
    busy: bool
    """A deployment is under way there, and settles it at its end."""


class KnownSlot(msgspec.Struct, frozen=True):
    environment_id: int
    number: int
    generation: int
    role: SlotRole
    release_number: int
    build_id: int
    settings: EnvironmentSettings
    processes: dict[str, str]
    public_folder: str | None


def wanted(
    known: Known, slots: Iterable[KnownSlot], kept: Iterable[tuple[int, int]], hostnames: tuple[str, ...]
) -> WantedEnvironment:
    """What is to be of an environment. `kept`: releases that can be live again, and their builds."""
    kept = list(kept)
    held = [slot for slot in slots if slot.role in (SlotRole.LIVE, SlotRole.STANDBY, SlotRole.DRAINING)]
    live = next((slot for slot in held if slot.role is SlotRole.LIVE), None)
    routed = live is not None and ("web" in live.processes or live.public_folder is not None)
    return WantedEnvironment(
        environment=known.id,
        place=known.place,
        generation=known.generation,
        route=live.number if live is not None and routed else 0,
        hostnames=hostnames if routed else (),
        web_count=min(RANKS, max(1, known.scale.get("web", 1))),
        slots=tuple(_slot(known, slot) for slot in held),
        releases=tuple(number for number, _ in kept),
        builds=tuple(sorted({build for _, build in kept})),
    )


def _slot(known: Known, slot: KnownSlot) -> WantedSlot:
    live = slot.role is SlotRole.LIVE
    counts = {name: known.scale.get(name, 1) for name in slot.processes if name != "release"} if live else {}
    settings = slot.settings
    return WantedSlot(
        number=slot.number,
        release=slot.release_number,
        generation=slot.generation,
        build=slot.build_id,
        live=live,
        counts={name: count for name, count in counts.items() if count},
        limits=Limits(memory=settings.memory, cpu=settings.cpu, tasks=settings.tasks),
        stop_seconds=settings.stop_seconds,
        public_folder=None if "web" in slot.processes else slot.public_folder,
    )


def remedy(entry: Drifted) -> Remedy:
    """What happens by itself. What a person changed is never touched without asking; what is lost cannot be made."""
    if (entry.kind, entry.thing) == (DriftKind.ORPHAN, Thing.UNIT) and entry.environment is None:
        return Remedy.MEND
    return _REMEDIES.get((entry.kind, entry.thing), Remedy.NONE)


def identify(entry: Drifted) -> str:
    return hashlib.sha256(f"{entry.kind} {entry.thing} {entry.where}".encode()).hexdigest()[:8]


def describe(entry: Drifted) -> str:
    return _WHAT.get((entry.kind, entry.thing), f"{entry.thing} {entry.kind}")


def find(entry: Drifted, known: Known | None, since: datetime) -> Finding:
    """In words. `since` is when it was first seen; the file may know better."""
    what = (entry.kind, entry.thing)
    number = identify(entry)
    askable = what in ASKABLE
    todo = _TODO.get(what, "")
    if askable:
        todo = f"{todo} To have Slipway's own back: slipway doctor --repair {number}".strip()
        if entry.kind is DriftKind.UNKNOWN:
            todo = f"{_TODO[what]} slipway doctor --repair {number}"
        elif entry.kind in (DriftKind.OVERRIDE, DriftKind.FOREIGN):
            todo = f"To take it away (a copy is kept): slipway doctor --repair {number}"
    elif not todo:
        todo = "Slipway puts it right by itself and tries again; its log says what keeps it from it."
    changed = datetime.fromtimestamp(entry.changed_at, UTC) if entry.changed_at is not None else since
    return Finding(
        id=number,
        kind=entry.kind,
        thing=entry.thing,
        what=describe(entry),
        where=entry.where,
        todo=todo,
        app=known.app if known else None,
        environment=known.name if known else None,
        environment_id=entry.environment,
        team_id=known.team_id if known else None,
        since=changed,
        detail=entry.detail,
        diff=entry.diff,
        can_be_repaired=askable,
    )
