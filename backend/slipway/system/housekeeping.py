"""What nobody asks for any more goes, so that the tables do not grow for ever."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from slipway.builds import store as builds
from slipway.db import Connection, Database
from slipway.deployments import store as deployments
from slipway.errors import Unavailable
from slipway.events import store as events
from slipway.logs import store as logs
from slipway.processes import store as processes
from slipway.releases import store as releases
from slipway.settings import History

log = structlog.get_logger()
EVERY_SECONDS = 3600
KEPT_LOGS = 100
"""Deployments of an environment whose logs are kept."""
KEPT_CRASHES = 500
"""Crashes of an environment that are kept."""
LOGS_AT_ONCE = 10
"""Deployments whose logs one transaction deletes: each may have a hundred thousand lines."""
ROWS_AT_ONCE = 500


async def keep_house(db: Database, history: History) -> None:
    """For ever: at the start, then once an hour."""
    while True:
        try:
            await tidy(db, history)
        except Unavailable as error:
            log.info("housekeeping", error=error.message)
        await asyncio.sleep(EVERY_SECONDS)


async def tidy(db: Database, history: History, *, kept_logs: int = KEPT_LOGS, kept_crashes: int = KEPT_CRASHES) -> None:
    """One round. What refers to others goes before them; nothing is locked for longer than a batch takes."""
    await _in_batches(db, lambda connection: logs.delete_old(connection, kept_logs, LOGS_AT_ONCE))
    await _in_batches(db, lambda connection: deployments.delete_old(connection, history.deployments, LOGS_AT_ONCE))
    await _in_batches(db, lambda connection: releases.delete_forgotten(connection, ROWS_AT_ONCE))
    await _in_batches(db, lambda connection: builds.delete_forgotten(connection, ROWS_AT_ONCE))
    await _in_batches(db, lambda connection: events.delete_old(connection, history.events_days, ROWS_AT_ONCE))
    async with db.transaction() as connection:
        await processes.delete_old(connection, kept_crashes)


async def _in_batches(db: Database, delete: Callable[[Connection], Awaitable[int]]) -> None:
    """A transaction each, until one finds nothing: deleting a deployment may free another (the one that undid it)."""
    while True:
        async with db.transaction() as connection:
            if not await delete(connection):
                return
