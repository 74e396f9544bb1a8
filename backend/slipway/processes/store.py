"""Crashes in PostgreSQL."""

from datetime import datetime

import msgspec

from slipway.db import Connection
from slipway.processes.models import Crash


async def insert_crash(
    connection: Connection,
    *,
    record: str,
    environment_id: int,
    release_number: int,
    generation: int,
    process: str,
    rank: int,
    at: datetime,
    exit_code: int | None,
    signal: str | None,
    out_of_memory: bool,
    lines: list[str],
) -> bool:
    """→ whether it is new. A crash of an environment that is gone is not kept."""
    row = await connection.fetchval(
        """INSERT INTO crashes (record, environment_id, release_number, generation, process, rank, at, exit_code,
                                signal, out_of_memory, lines)
           SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11
           WHERE EXISTS (SELECT 1 FROM environments WHERE id = $2)
           ON CONFLICT (record) DO NOTHING RETURNING id""",
        record, environment_id, release_number, generation, process, rank, at, exit_code, signal, out_of_memory, lines,
    )  # fmt: skip
    return row is not None


async def list_crashes(connection: Connection, environment_id: int, before: int | None, limit: int) -> list[Crash]:
    rows = await connection.fetch(
        """SELECT id, environment_id, release_number, process, rank, at, exit_code, signal, out_of_memory, lines
           FROM crashes WHERE environment_id = $1 AND id < $2 ORDER BY id DESC LIMIT $3""",
        environment_id, before or 2**62, limit,
    )  # fmt: skip
    return [msgspec.convert(dict(row), Crash) for row in rows]


async def list_crashes_of(connection: Connection, environment_id: int, generation: int) -> list[Crash]:
    """Crashes of one start of a release, oldest first."""
    rows = await connection.fetch(
        """SELECT id, environment_id, release_number, process, rank, at, exit_code, signal, out_of_memory, lines
           FROM crashes WHERE environment_id = $1 AND generation = $2 ORDER BY id""",
        environment_id, generation,
    )  # fmt: skip
    return [msgspec.convert(dict(row), Crash) for row in rows]


async def delete_old(connection: Connection, kept: int) -> None:
    """Keep the newest crashes of each environment."""
    await connection.execute(
        """DELETE FROM crashes WHERE id IN (
               SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY environment_id ORDER BY id DESC) AS n
                               FROM crashes) AS numbered WHERE n > $1)""",
        kept,
    )
