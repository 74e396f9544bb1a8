"""Make what runs what should run: level-triggered, from the tables, whatever happened before.

Called after every deployment, when a slot's time has come, when a scale changed, and where the reconciler found that
something differs.
"""

import asyncio
from collections import Counter

import structlog

from slipway.apps import store as apps_store
from slipway.apps.models import App, Environment
from slipway.builds import store as builds
from slipway.deployments import store
from slipway.deployments.instances import open_connections, put_site, start_instances, stop_slot
from slipway.deployments.models import Deployment
from slipway.deployments.tools import Tools
from slipway.errors import HostRefused
from slipway.host.protocol import (
    Box,
    DeleteBuild,
    DeleteRelease,
    Inspect,
    StopInstances,
    StopWork,
    Switch,
    WorkKind,
)
from slipway.processes.service import wanted
from slipway.releases import store as releases
from slipway.releases.models import Release
from slipway.routing import sockets
from slipway.routing import store as routing
from slipway.routing.models import Slot, SlotRole
from slipway.settings import RANKS

log = structlog.get_logger()
WORK_OF_DEPLOYMENTS = (WorkKind.FETCH, WorkKind.BUILD, WorkKind.RELEASE_COMMAND)
LISTEN_SECONDS = 15
QUIET = 10
"""Looks, a tenth of a second apart, without a connection: one alone may fall between two requests."""


async def settle(tools: Tools, environment_id: int) -> None:
    """Bring one environment to what its rows say. Waits for a deployment that is starting or switching it."""
    async with tools.locks[environment_id]:
        async with tools.db.connection() as connection:
            environment = await apps_store.get_environment_by_id(connection, environment_id)
            active = any(one.generation is not None for one in await store.list_open_of(connection, environment_id))
            slots = await routing.list_slots(connection, environment_id)
            live = await releases.find_live(connection, environment_id)
            app = await apps_store.get_app_by_id(connection, environment.app_id)
        box = await tools.host.call(Inspect(environment=environment_id))
        live_slot = next((slot for slot in slots if slot.role is SlotRole.LIVE), None)
        if not active:
            await _mend_route(tools, environment, live, live_slot, box)  # before what it may lead to is stopped
        slots = await _empty_slots(tools, environment, slots, active)
        shrinks = live_slot is not None and _instances(box, live_slot)["web"] > wanted(environment, "web")
        if live is not None and live_slot is not None and shrinks and "web" in live.processes:
            await put_site(tools, app, environment, static=False)  # nobody new is sent to what is stopped next
            await _wait_until_left(tools, environment, live_slot, live.settings.drain_seconds)
        await _stop_unwanted(tools, environment, slots, box)
        if live is not None and live_slot is not None:
            await _start_missing(tools, app, environment, live, live_slot, box)
            for slot in slots:
                if slot.role in (SlotRole.STANDBY, SlotRole.DRAINING):
                    await _start_warm(tools, environment, slot, box)
        await prune(tools, environment_id)
    tools.hub.publish(f"environment:{environment_id}")
    await _stop_ended_work(tools, environment_id, box)  # last: one that cannot be ended holds up nothing else


async def _empty_slots(tools: Tools, environment: Environment, slots: list[Slot], active: bool) -> list[Slot]:
    """Stop and free the slots that nobody wants any more; → the others."""
    kept = []
    for slot in slots:
        if slot.role is SlotRole.STOPPING or (slot.role is SlotRole.INCOMING and not active):
            await stop_slot(tools, environment.generation, slot)
            async with tools.db.transaction() as connection:
                await routing.free_slot(connection, environment.id, slot.number)
        else:
            kept.append(slot)
    return kept


async def _stop_unwanted(tools: Tools, environment: Environment, slots: list[Slot], box: Box) -> None:
    """What no slot accounts for; workers outside the live slot; ranks beyond the scale."""
    by_run = {(slot.release_number, slot.generation): slot for slot in slots}
    for release, generation in {(one.instance.release, one.instance.generation) for one in box.instances}:
        slot = by_run.get((release, generation))
        if slot is None or slot.role in (SlotRole.STANDBY, SlotRole.DRAINING):
            await tools.host.call(
                StopInstances(
                    environment=environment.id,
                    generation=environment.generation,
                    release=release,
                    release_generation=generation,
                    but_process="web" if slot else None,
                )
            )
    for one in box.instances:
        instance = one.instance
        slot = by_run.get((instance.release, instance.generation))
        if slot and slot.role is SlotRole.LIVE and instance.rank == wanted(environment, instance.process):
            await tools.host.call(
                StopInstances(
                    environment=environment.id,
                    generation=environment.generation,
                    release=instance.release,
                    release_generation=instance.generation,
                    process=instance.process,
                    from_rank=instance.rank,
                )
            )


async def _start_missing(tools: Tools, app: App, environment: Environment, live: Release, slot: Slot, box: Box) -> None:
    there = _instances(box, slot)
    for process in live.processes:
        if process != "release" and there[process] < wanted(environment, process):
            await start_instances(tools, environment, environment.generation, live, slot, process)
            if process == "web":
                await _wait_for_listeners(tools, environment, slot)
                await put_site(tools, app, environment, static=False)


def _instances(box: Box, slot: Slot) -> Counter[str]:
    """How many instances of each process run in a slot, or start again by themselves."""
    return Counter(
        one.instance.process
        for one in box.instances
        if one.runs and (one.instance.release, one.instance.generation) == (slot.release_number, slot.generation)
    )


async def _wait_for_listeners(tools: Tools, environment: Environment, slot: Slot) -> None:
    """A moment for new instances to listen, before nginx sends them requests."""
    ports = [tools.settings.port(environment.place, slot.number, rank) for rank in range(wanted(environment, "web"))]
    for _ in range(LISTEN_SECONDS * 10):
        if all(sockets.listeners(port) for port in ports):
            return
        await asyncio.sleep(0.1)


async def _wait_until_left(tools: Tools, environment: Environment, slot: Slot, seconds: int) -> None:
    """Until nobody is served any more by instances beyond the scale: nginx's old workers may still be at it."""
    leaving = range(wanted(environment, "web"), RANKS)
    quiet = 0
    for _ in range(max(QUIET, seconds * 10)):
        quiet = quiet + 1 if open_connections(tools, environment.place, slot.number, leaving) == 0 else 0
        if quiet == QUIET:
            return
        await asyncio.sleep(0.1)


async def _start_warm(tools: Tools, environment: Environment, slot: Slot, box: Box) -> None:
    """A standby that is gone (after a reboot, say) is not started again: it is given up."""
    if not _instances(box, slot):
        await stop_slot(tools, environment.generation, slot)
        async with tools.db.transaction() as connection:
            await routing.free_slot(connection, environment.id, slot.number)


async def _mend_route(
    tools: Tools, environment: Environment, live: Release | None, slot: Slot | None, box: Box
) -> None:
    target = 0
    if live is not None and slot is not None:
        async with tools.db.connection() as connection:
            build = await builds.get_build(connection, live.build_id)
        static = build.plan is not None and build.plan.public_folder is not None
        target = slot.number if static or "web" in live.processes else 0
    actual = next((route.slot for route in box.routes if route.environment == environment.id), 0)
    if actual != target:
        log.warning("route.mended", environment=environment.id, was=actual, now=target)
        await tools.host.call(
            Switch(environment.id, environment.place, expected=actual, target=target, generation=environment.generation)
        )


async def prune(tools: Tools, environment_id: int) -> None:
    """Give up releases beyond five earlier ones, and builds that none uses."""
    async with tools.db.transaction() as connection:
        await releases.prune(connection, environment_id)
        unused = await builds.list_unused(connection, environment_id)
        for build_id in unused:
            await builds.mark_deleting(connection, build_id)
    async with tools.db.connection() as connection:
        emptied = await releases.list_to_empty(connection, environment_id)
        deleting = await builds.list_deleting(connection, environment_id)
    for release in emptied:
        await tools.host.call(DeleteRelease(environment=environment_id, release=release.number))
        async with tools.db.connection() as connection:
            await releases.empty(connection, release.id)
    for build_id in deleting:
        await tools.host.call(DeleteBuild(environment=environment_id, build=build_id))
        async with tools.db.connection() as connection:
            await builds.mark_deleted(connection, build_id)


async def stop_work(tools: Tools, deployment: Deployment) -> None:
    """End whatever a deployment left running, with its whole cgroup."""
    for kind in WORK_OF_DEPLOYMENTS:
        try:
            await tools.host.call(StopWork(kind, deployment.id))
        except HostRefused as error:
            log.error("work.stop", deployment=deployment.id, kind=kind.value, error=error.message)


async def _stop_ended_work(tools: Tools, environment_id: int, box: Box) -> None:
    """What could not be stopped when its deployment ended."""
    async with tools.db.connection() as connection:
        ended = await store.list_ended_among(connection, environment_id, {work_id for _, work_id in box.work})
    for kind, work_id in box.work:
        if work_id in ended:
            await tools.host.call(StopWork(kind, work_id))


async def stop_strange_work(tools: Tools) -> None:
    """End work of which no open deployment knows."""
    box = await tools.host.call(Inspect())
    async with tools.db.connection() as connection:
        open_ids = {one.id for one in await store.list_open(connection)}
    for kind, work_id in box.work:
        if kind in WORK_OF_DEPLOYMENTS and work_id not in open_ids:
            try:
                await tools.host.call(StopWork(kind, work_id))
            except HostRefused as error:  # said, and tried again at the next start: what is asked for goes on
                log.error("work.stop", kind=kind.value, id=work_id, error=error.message)
