"""Start `web` of the release in a free slot, beside what is live."""

import asyncio

from slipway import clock
from slipway.builds import store as builds
from slipway.deployments import store
from slipway.deployments.instances import open_connections, put_release, start_instances, stop_slot
from slipway.deployments.models import Kind
from slipway.deployments.tools import Attempt, Failed, Stopped, Tools, record, say
from slipway.host.protocol import PutSlot
from slipway.plan import Plan
from slipway.releases import store as releases
from slipway.releases.models import Release
from slipway.routing import sockets
from slipway.routing import store as routing
from slipway.routing.models import Slot, SlotRole
from slipway.settings import RANKS, SLOTS

WARM = (SlotRole.STANDBY, SlotRole.DRAINING)


async def start(tools: Tools, attempt: Attempt) -> None:
    if attempt.deployment.kind is Kind.ROLLBACK:
        await _stop_if_another_is_live(tools, attempt)
    release = await _take_release(tools, attempt)
    slots = await tools.routing.list_slots(attempt.environment)
    own = next((slot for slot in slots if slot.number == attempt.deployment.slot), None)
    if own is None or own.role is SlotRole.STOPPING:  # a warm one may have been given up while Slipway was away
        warm = next((slot for slot in slots if slot.release_id == release.id and slot.role in WARM), None)
        if warm and not attempt.environment.settings.stop_then_start:
            say(tools, attempt, f"{release.name} is still warm in slot {warm.number}.")
            await record(tools, attempt, slot=warm.number)
            await _serve(tools, attempt, release, warm)  # the scale may have grown since, what went before have changed
            return
        own = await _take_slot(tools, attempt, release, slots)
    if own.role is not SlotRole.INCOMING:
        return
    await put_release(tools, attempt.app, attempt.environment, attempt.generation, release)
    if release.settings.stop_then_start:
        await _stop_live(tools, attempt, slots)
    await _serve(tools, attempt, release, own)
    if "web" in release.processes:
        say(tools, attempt, f"Started web in slot {own.number}: {release.processes['web']}")


async def _stop_if_another_is_live(tools: Tools, attempt: Attempt) -> None:
    """An automatic rollback is about one bad release; what went live while it waited may be the fix."""
    async with tools.db.connection() as connection:
        bad = await store.find_undone_by(connection, attempt.id)
        live = await releases.find_live(connection, attempt.environment.id)
    if bad and live and live.id != bad.release_id:
        raise Stopped(f"v{bad.release_number} was to be taken back, but {live.name} went live meanwhile, and stays.")


async def _serve(tools: Tools, attempt: Attempt, release: Release, slot: Slot) -> None:
    """Make the slot ready to answer: by `web`, or by nginx itself; an app with neither needs nothing here."""
    async with tools.db.connection() as connection:
        build = await builds.get_build(connection, release.build_id)
    assert build.plan is not None
    if "web" in release.processes:
        await start_instances(tools, attempt.environment, attempt.generation, release, slot, "web")
    elif build.plan.public_folder is not None:
        await _put_folder(tools, attempt, release, build.plan, slot)


async def _take_release(tools: Tools, attempt: Attempt) -> Release:
    deployment = attempt.deployment
    async with tools.db.connection() as connection:
        if deployment.release_id is not None:
            release = await releases.find_release(connection, deployment.release_id)
        else:
            assert deployment.target_release is not None, "a rollback names its release"
            release = await releases.find_by_number(connection, attempt.environment.id, deployment.target_release)
    if release is None or release.pruned_at is not None:
        raise Failed(f"Release v{deployment.target_release} is no longer kept, so that it cannot be rolled back to.")
    if deployment.release_id is None:
        await record(tools, attempt, release_id=release.id, build_id=release.build_id, commit=release.commit)
    return release


async def _take_slot(tools: Tools, attempt: Attempt, release: Release, slots: list[Slot]) -> Slot:
    """A slot that nobody holds and of which nobody listens on the ports."""
    environment = attempt.environment
    taken = {slot.number: slot for slot in slots}
    free = [number for number in SLOTS if number not in taken]
    if not free:  # the one that has been leaving for longest makes room
        oldest = min((slot for slot in slots if slot.role is not SlotRole.LIVE), key=lambda slot: slot.since)
        await _wait_until_drained(tools, attempt, oldest)
        await _empty(tools, attempt, oldest)
        free = [oldest.number]
    strangers: list[int] = []
    for number in free:
        ports = [tools.settings.port(environment.place, number, rank) for rank in range(RANKS)]
        used = [port for port in ports if sockets.listeners(port)]
        if used and "web" in release.processes:
            strangers += used
            continue
        async with tools.db.transaction() as connection:
            await routing.take_slot(connection, environment.id, number, release.id, attempt.generation)
            # Together: begun again, this takes no second slot, whose twin would be stopped with it.
            attempt.deployment = await store.record(connection, attempt.id, slot=number)
        tools.hub.publish(f"deployment:{attempt.id}")
        return next(slot for slot in await tools.routing.list_slots(environment) if slot.number == number)
    raise Failed(
        f"Another program on this server listens on port {strangers[0]}, which belongs to this environment. "
        "Stop that program, then deploy again."
    )


async def _wait_until_drained(tools: Tools, attempt: Attempt, slot: Slot) -> None:
    """Two releases still finish their requests: the older one may, until its time is over. A rollback is in a hurry."""
    if slot.role is not SlotRole.DRAINING or attempt.deployment.kind is Kind.ROLLBACK:
        return
    told = False
    while open_connections(tools, attempt.environment.place, slot.number):
        if slot.until is None or slot.until <= clock.now():
            return
        if not told:
            say(tools, attempt, f"Waiting for a free slot: v{slot.release_number} still answers requests.")
            told = True
        await asyncio.sleep(0.1)


async def _empty(tools: Tools, attempt: Attempt, slot: Slot) -> None:
    await stop_slot(tools, attempt.generation, slot)
    async with tools.db.transaction() as connection:
        await routing.free_slot(connection, slot.environment_id, slot.number)


async def _stop_live(tools: Tools, attempt: Attempt, slots: list[Slot]) -> None:
    for slot in slots:
        if slot.role is not SlotRole.INCOMING:
            say(tools, attempt, f"Stopping v{slot.release_number} first: two of this app must never run at once.")
            await stop_slot(tools, attempt.generation, slot)


async def _put_folder(tools: Tools, attempt: Attempt, release: Release, plan: Plan, slot: Slot) -> None:
    environment = attempt.environment
    assert plan.public_folder is not None
    async with tools.db.connection() as connection:
        live = await releases.find_live(connection, environment.id)
        previous = await builds.get_build(connection, live.build_id) if live else None
    folder = previous.plan.public_folder if previous and previous.plan else None
    await tools.host.call(
        PutSlot(
            environment=environment.id,
            place=environment.place,
            slot=slot.number,
            generation=attempt.generation,
            build=release.build_id,
            public_folder=plan.public_folder,
            previous_build=previous.id if previous and folder else None,
            previous_public_folder=folder,
        )
    )
    say(tools, attempt, f"nginx itself serves {release.name}.")
