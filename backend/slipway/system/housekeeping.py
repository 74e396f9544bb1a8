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
from slipway.logs.service import delete_logs
from slipway.processes import store as processes
from slipway.releases import store as releases
from slipway.settings import History

log = structlog.get_logger()
EVERY_SECONDS = 3600
KEPT_LOGS = 100
"""Deployments of an environment whose logs are kept."""
KEPT_CRASHES = 500
"""Crashes of an environment that are kept."""
ROWS_AT_ONCE = 500


async def keep_house(db: Database, history: History) -> None:
    """For ever: at the start, then once an hour."""
    while True:
        await tidy(db, history)
        await asyncio.sleep(EVERY_SECONDS)


async def tidy(db: Database, history: History, *, kept_logs: int = KEPT_LOGS, kept_crashes: int = KEPT_CRASHES) -> None:
    """One round. What refers to others goes before them; nothing is locked for longer than a batch takes.

    A kind that cannot be deleted now is tried in the next round; the others do not wait for it.
    """
    kinds: dict[str, Callable[[], Awaitable[None]]] = {
        "logs": lambda: _logs(db, kept_logs),
        "deployments": lambda: _deployments(db, history.deployments),
        "releases": lambda: _in_batches(db, lambda connection: releases.delete_forgotten(connection, ROWS_AT_ONCE)),
        "builds": lambda: _in_batches(db, lambda connection: builds.delete_forgotten(connection, ROWS_AT_ONCE)),
        "events": lambda: _in_batches(
            db, lambda connection: events.delete_old(connection, history.events_days, ROWS_AT_ONCE)
        ),
        "crashes": lambda: _crashes(db, kept_crashes),
    }
    for kind, delete in kinds.items():
        try:
            await delete()
        except Unavailable as error:
            log.warning("housekeeping", kind=kind, error=error.message, cause=repr(error.__cause__))


async def _logs(db: Database, kept: int) -> None:
    async with db.connection() as connection:
        old = await logs.list_old(connection, kept)
    await delete_logs(db, old)


async def _deployments(db: Database, kept: int) -> None:
    """Again until there is none: deleting a deployment may free another, the one that undid it."""
    while True:
        async with db.connection() as connection:
            old = await deployments.list_old(connection, kept)
        if not old:
            return
        for start in range(0, len(old), ROWS_AT_ONCE):
            batch = old[start : start + ROWS_AT_ONCE]
            await delete_logs(db, batch)
            async with db.transaction() as connection:
                await deployments.delete(connection, batch)


async def _crashes(db: Database, kept: int) -> None:
    async with db.transaction() as connection:
        await processes.delete_old(connection, kept)


async def _in_batches(db: Database, delete: Callable[[Connection], Awaitable[int]]) -> None:
    """A transaction each, until one finds nothing."""
    while True:
        async with db.transaction() as connection:
            if not await delete(connection):
                return
