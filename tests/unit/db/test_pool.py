"""Connections that PostgreSQL ends, as it does when it is restarted."""

import asyncio

from slipway.db import Database
from slipway.errors import Unavailable

ENDINGS = 200


async def test_a_connection_that_is_ended_at_any_moment_is_a_database_that_does_not_answer(database: Database) -> None:
    lost = 0
    over = asyncio.Event()

    async def work() -> None:
        nonlocal lost
        while not over.is_set():
            try:
                async with database.transaction() as connection:
                    for _ in range(5):
                        await connection.fetchval("SELECT 1")
                        await asyncio.sleep(0)
            except Unavailable:
                lost += 1

    workers = [asyncio.create_task(work()) for _ in range(3)]
    ended = 0
    while ended < ENDINGS and not any(worker.done() for worker in workers):
        try:
            async with database.connection() as connection:
                ended += await connection.fetchval(
                    "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid != pg_backend_pid()"
                )
        except Unavailable:
            pass
    over.set()
    await asyncio.gather(*workers)
    assert lost > 0
