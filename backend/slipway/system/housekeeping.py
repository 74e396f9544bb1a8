"""What nobody asks for any more goes, so that the tables do not grow for ever."""

import asyncio

import structlog

from slipway.db import Database
from slipway.errors import Unavailable
from slipway.logs import store as logs
from slipway.processes import store as processes

log = structlog.get_logger()
EVERY_SECONDS = 3600
KEPT_LOGS = 100
"""Deployments of an environment whose logs are kept."""
KEPT_CRASHES = 500
"""Crashes of an environment that are kept."""


async def keep_house(db: Database) -> None:
    """For ever, once an hour."""
    while True:
        try:
            await tidy(db)
        except Unavailable as error:
            log.info("housekeeping", error=error.message)
        await asyncio.sleep(EVERY_SECONDS)


async def tidy(db: Database, *, kept_logs: int = KEPT_LOGS, kept_crashes: int = KEPT_CRASHES) -> None:
    """One round."""
    async with db.transaction() as connection:
        await logs.delete_old(connection, kept_logs)
        await processes.delete_old(connection, kept_crashes)
