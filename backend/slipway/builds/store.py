"""Builds in PostgreSQL."""

import asyncpg
import msgspec

from slipway.builds.models import Build
from slipway.db import Connection
from slipway.plan import Plan

_BUILD = "id, environment_id, commit, state, plan, created_at, ended_at"


def _build(row: asyncpg.Record) -> Build:
    return msgspec.convert(dict(row), Build)


async def insert_build(connection: Connection, environment_id: int, commit: str) -> Build:
    row = await connection.fetchrow(
        f"INSERT INTO builds (environment_id, commit, state) VALUES ($1, $2, 'building') RETURNING {_BUILD}",  # noqa: S608
        environment_id, commit,
    )  # fmt: skip
    assert row is not None
    return _build(row)


async def get_build(connection: Connection, build_id: int) -> Build:
    row = await connection.fetchrow(f"SELECT {_BUILD} FROM builds WHERE id = $1", build_id)  # noqa: S608
    assert row is not None, f"build {build_id} is referred to and must be there"
    return _build(row)


async def mark_ready(connection: Connection, build_id: int, plan: Plan) -> None:
    await connection.execute(
        "UPDATE builds SET state = 'ready', plan = $2, ended_at = now() WHERE id = $1 AND state = 'building'",
        build_id, msgspec.to_builtins(plan),
    )  # fmt: skip


async def mark_failed(connection: Connection, build_id: int) -> None:
    await connection.execute(
        "UPDATE builds SET state = 'failed', ended_at = now() WHERE id = $1 AND state = 'building'", build_id
    )


async def list_unused(connection: Connection, environment_id: int) -> list[int]:
    """Builds of which the files can go: no release that can be rolled back to and no open deployment uses them."""
    rows = await connection.fetch(
        """SELECT id FROM builds b WHERE environment_id = $1 AND state NOT IN ('deleting', 'deleted')
           AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.build_id = b.id AND r.pruned_at IS NULL)
           AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.build_id = b.id
                           AND d.state NOT IN ('live', 'failed', 'cancelled', 'superseded'))""",
        environment_id,
    )
    return [row["id"] for row in rows]


async def mark_deleting(connection: Connection, build_id: int) -> None:
    await connection.execute("UPDATE builds SET state = 'deleting' WHERE id = $1", build_id)


async def list_deleting(connection: Connection, environment_id: int) -> list[int]:
    rows = await connection.fetch(
        "SELECT id FROM builds WHERE environment_id = $1 AND state = 'deleting' ORDER BY id", environment_id
    )
    return [row["id"] for row in rows]


async def mark_deleted(connection: Connection, build_id: int) -> None:
    await connection.execute("UPDATE builds SET state = 'deleted' WHERE id = $1", build_id)


async def delete_forgotten(connection: Connection, limit: int) -> int:
    """Delete builds whose files are gone and which no release or deployment names, at most `limit`; → how many."""
    rows = await connection.fetch(
        """DELETE FROM builds WHERE id IN (
               SELECT id FROM builds b WHERE state = 'deleted'
                 AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.build_id = b.id)
                 AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.build_id = b.id)
               ORDER BY id LIMIT $1)
           RETURNING id""",
        limit,
    )
    return len(rows)
