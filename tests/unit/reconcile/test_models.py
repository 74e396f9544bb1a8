"""From what differs to what is done about it, and from the tables to what should be."""

from datetime import UTC, datetime
from typing import Any

import pytest

from slipway.apps.models import EnvironmentSettings
from slipway.host.agent.mending import BY_ITSELF, WHEN_ASKED
from slipway.host.protocol import Drifted, DriftKind, Limits, Thing
from slipway.reconcile.models import ASKABLE, Known, KnownSlot, Remedy, describe, find, identify, remedy, wanted
from slipway.routing.models import SlotRole

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KNOWN = Known(3, "production", "shop", 1, 1, place=7, generation=9, scale={"web": 2, "quiet": 0}, leaving=False,
              busy=False)  # fmt: skip
PROCESSES = {"web": "serve", "worker": "work", "quiet": "hush", "release": "migrate"}


def slot(number: int, role: SlotRole, **changes: Any) -> KnownSlot:
    fields: dict[str, Any] = {
        "environment_id": 3, "number": number, "generation": 8, "role": role, "release_number": 4, "build_id": 40,
        "settings": EnvironmentSettings(memory=99, cpu=50, tasks=33, stop_seconds=7), "processes": PROCESSES,
        "public_folder": None,
    }  # fmt: skip
    return KnownSlot(**fields | changes)


def test_of_the_live_slot_each_process_is_wanted_as_often_as_the_scale_says() -> None:
    made = wanted(KNOWN, [slot(2, SlotRole.LIVE)], [(4, 40)], ("shop.localhost",))
    (live,) = made.slots
    assert live.counts == {"web": 2, "worker": 1}
    assert (live.limits, live.stop_seconds) == (Limits(memory=99, cpu=50, tasks=33), 7)
    assert (made.route, made.hostnames, made.web_count) == (2, ("shop.localhost",), 2)
    assert (made.releases, made.builds) == ((4,), (40,))


def test_of_a_standby_nothing_is_wanted_and_what_is_coming_or_going_is_left_to_settling() -> None:
    slots = [slot(1, SlotRole.STANDBY), slot(2, SlotRole.INCOMING), slot(3, SlotRole.STOPPING)]
    made = wanted(KNOWN, slots, [], ("shop.localhost",))
    assert [(one.number, one.live, one.counts) for one in made.slots] == [(1, False, {})]
    assert (made.route, made.hostnames) == (0, ())


def test_a_worker_alone_has_no_route_and_a_static_site_has_one() -> None:
    worker = wanted(KNOWN, [slot(1, SlotRole.LIVE, processes={"worker": "work"})], [], ("shop.localhost",))
    assert (worker.route, worker.hostnames) == (0, ())
    static = wanted(KNOWN, [slot(1, SlotRole.LIVE, processes={}, public_folder="/b/public")], [], ("shop.localhost",))
    assert (static.route, static.hostnames, static.slots[0].public_folder) == (1, ("shop.localhost",), "/b/public")


@pytest.mark.parametrize("kind", [DriftKind.CHANGED, DriftKind.OVERRIDE, DriftKind.FOREIGN, DriftKind.UNKNOWN])
@pytest.mark.parametrize("thing", list(Thing))
def test_nothing_that_a_person_did_is_undone_by_itself(kind: DriftKind, thing: Thing) -> None:
    if (kind, thing) == (DriftKind.FOREIGN, Thing.ROUTE):
        return  # it would send visitors to what nobody checked
    assert remedy(Drifted(kind, thing, "somewhere", 3)) is Remedy.NONE
    assert (kind, thing) not in BY_ITSELF


def test_the_host_agent_mends_by_itself_exactly_what_the_daemon_leaves_to_it() -> None:
    pairs = [(kind, thing) for kind in DriftKind for thing in Thing]
    left_to_it = {pair for pair in pairs if remedy(Drifted(*pair, "somewhere", 3)) is Remedy.MEND}
    assert left_to_it == BY_ITSELF
    assert WHEN_ASKED <= ASKABLE
    assert set(ASKABLE - WHEN_ASKED) == {
        (DriftKind.CHANGED, Thing.LAUNCHER), (DriftKind.UNKNOWN, Thing.ENVIRONMENT),
        (DriftKind.CHANGED, Thing.CERTIFICATE),
    }  # fmt: skip


def test_a_unit_of_nobodys_is_ended_by_the_host_agent() -> None:
    assert remedy(Drifted(DriftKind.ORPHAN, Thing.UNIT, "unit")) is Remedy.MEND
    assert remedy(Drifted(DriftKind.ORPHAN, Thing.UNIT, "unit", 3)) is Remedy.SETTLE


def test_whatever_stays_says_what_to_do() -> None:
    for kind in DriftKind:
        for thing in Thing:
            entry = Drifted(kind, thing, "somewhere", 3)
            found = find(entry, KNOWN, NOW)
            assert found.todo
            if (kind, thing) in ASKABLE:
                assert f"slipway doctor --repair {found.id}" in found.todo
                assert " " in describe(entry)
            elif remedy(entry) is Remedy.NONE and describe(entry) != f"{thing} {kind}":
                assert "by itself" not in found.todo


def test_a_finding_is_the_same_as_long_as_it_is_the_same_thing_and_since_when_the_file_changed() -> None:
    first = Drifted(DriftKind.CHANGED, Thing.SITE, "/sites/3.conf", 3, diff="-a\n+b", changed_at=86_400.0)
    later = Drifted(DriftKind.CHANGED, Thing.SITE, "/sites/3.conf", 3, diff="-a\n+c", changed_at=90_000.0)
    other = Drifted(DriftKind.CHANGED, Thing.SITE, "/sites/4.conf", 4)
    assert identify(first) == identify(later) != identify(other)
    assert find(first, KNOWN, NOW).since == datetime(1970, 1, 2, tzinfo=UTC)
    assert find(other, None, NOW).since == NOW
