"""After the switch: drain the old slot, keep it warm for a while, then let it go."""

import asyncio
from contextlib import suppress
from datetime import datetime, timedelta

import psutil
import structlog

from slipway import clock
from slipway.apps import store as apps_store
from slipway.deployments.instances import open_connections
from slipway.deployments.settler import Settler
from slipway.deployments.tools import Tools
from slipway.errors import NotFound, SlipwayError
from slipway.releases import store as releases
from slipway.routing import store as routing
from slipway.routing.models import Slot, SlotRole

log = structlog.get_logger()
LOOK_SECONDS = 0.5
LEAST_DRAIN = timedelta(seconds=1)
"""A request that nginx routed just before the switch may not have arrived yet."""
LEAVING = (SlotRole.DRAINING, SlotRole.STANDBY)
LEAST_FREE_MEMORY = 0.10
"""A standby is given up while less than this part of the box's memory is free."""


async def look_after_slots(tools: Tools, settler: Settler) -> None:
    """For ever: end the draining and standing by of slots whose time has come."""
    while True:
        pause = 5.0
        try:
            async with tools.db.connection() as connection:
                leaving = await routing.list_leaving(connection)
            for slot in leaving:
                with suppress(NotFound):  # deleted meanwhile
                    await _look(tools, settler, slot)
            if any(slot.role is SlotRole.DRAINING for slot in leaving):
                pause = LOOK_SECONDS
        except SlipwayError as error:
            log.info("slots", error=error.message)
        await asyncio.sleep(pause)


async def _look(tools: Tools, settler: Settler, seen: Slot) -> None:
    if tools.locks[seen.environment_id].locked():
        return  # a deployment is at work there
    async with tools.locks[seen.environment_id]:
        async with tools.db.connection() as connection:
            slots = await routing.list_slots(connection, seen.environment_id)
        if seen not in slots:
            return  # a rollback has taken it since, say
        role, until = await _next_role(tools, seen, slots)
        try:
            if role is not seen.role:
                async with tools.db.transaction() as connection:
                    await routing.set_role(connection, seen.environment_id, seen.number, role, until)
                tools.hub.publish(f"environment:{seen.environment_id}")
        finally:  # what was lost may only be the answer
            if role is SlotRole.STOPPING:
                settler.ask(seen.environment_id)


async def _next_role(tools: Tools, slot: Slot, slots: list[Slot]) -> tuple[SlotRole, datetime | None]:
    """What a slot that is leaving is from now on, and until when."""
    now = clock.now()
    over = slot.until is not None and slot.until <= now
    if slot.role is SlotRole.DRAINING and (over or await _is_drained(tools, slot, now)):
        async with tools.db.connection() as connection:
            release = await releases.find_release(connection, slot.release_id)
        seconds = release.settings.standby_seconds if release else 0
        left_later = any(one.role in LEAVING and one.since > slot.since for one in slots)
        if left_later or not seconds or _memory_is_short():  # one standby is enough
            return SlotRole.STOPPING, None
        return SlotRole.STANDBY, now + timedelta(seconds=seconds)
    if slot.role is SlotRole.STANDBY and (over or _memory_is_short()):
        return SlotRole.STOPPING, None
    return slot.role, slot.until


async def _is_drained(tools: Tools, slot: Slot, now: datetime) -> bool:
    if now - slot.since < LEAST_DRAIN:
        return False
    async with tools.db.connection() as connection:
        environment = await apps_store.get_environment_by_id(connection, slot.environment_id)
    return open_connections(tools, environment.place, slot.number) == 0


def _memory_is_short() -> bool:
    memory = psutil.virtual_memory()
    return bool(memory.available < memory.total * LEAST_FREE_MEMORY)
