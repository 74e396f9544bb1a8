"""Releases in PostgreSQL."""

import asyncpg
import msgspec

from slipway.apps.models import EnvironmentSettings
from slipway.db import Connection
from slipway.releases.models import KEPT, Release

_RELEASE = """r.id, r.environment_id, r.number, r.build_id, b.commit, r.settings, r.processes, r.reason,
              r.created_at, r.pruned_at"""
_FROM = "FROM releases r JOIN builds b ON b.id = r.build_id"


def _release(row: asyncpg.Record) -> Release:
    return msgspec.convert(dict(row), Release)


async def next_number(connection: Connection, environment_id: int) -> int:
    number: int = await connection.fetchval(
        "UPDATE environments SET last_release = last_release + 1 WHERE id = $1 RETURNING last_release", environment_id
    )
    return number


async def insert_release(
    connection: Connection,
    environment_id: int,
    number: int,
    build_id: int,
    variables: bytes,
    settings: EnvironmentSettings,
    processes: dict[str, str],
    reason: str,
) -> int:
    release_id: int = await connection.fetchval(
        """INSERT INTO releases (environment_id, number, build_id, variables, settings, processes, reason)
           VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id""",
        environment_id, number, build_id, variables, msgspec.to_builtins(settings), processes, reason,
    )  # fmt: skip
    return release_id


async def find_release(connection: Connection, release_id: int) -> Release | None:
    row = await connection.fetchrow(f"SELECT {_RELEASE} {_FROM} WHERE r.id = $1", release_id)
    return _release(row) if row else None


async def find_by_number(connection: Connection, environment_id: int, number: int) -> Release | None:
    row = await connection.fetchrow(
        f"SELECT {_RELEASE} {_FROM} WHERE r.environment_id = $1 AND r.number = $2",
        environment_id, number,
    )  # fmt: skip
    return _release(row) if row else None


async def find_live(connection: Connection, environment_id: int) -> Release | None:
    row = await connection.fetchrow(
        f"""SELECT {_RELEASE} {_FROM} JOIN slots s ON s.release_id = r.id
            WHERE s.environment_id = $1 AND s.role = 'live'""",
        environment_id,
    )
    return _release(row) if row else None


async def list_kept(connection: Connection, environment_id: int) -> list[Release]:
    """The live one and those that were live and can be again, newest first. Not one that is only on its way."""
    rows = await connection.fetch(
        f"""SELECT {_RELEASE} {_FROM} WHERE r.environment_id = $1 AND r.pruned_at IS NULL
            AND (EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.state = 'live')
                 OR EXISTS (SELECT 1 FROM slots s WHERE s.release_id = r.id AND s.role = 'live'))
            ORDER BY r.number DESC""",  # noqa: S608
        environment_id,
    )
    return [_release(row) for row in rows]


async def get_sealed_variables(connection: Connection, release_id: int) -> bytes:
    sealed: bytes = await connection.fetchval("SELECT variables FROM releases WHERE id = $1", release_id)
    return sealed


async def prune(connection: Connection, environment_id: int) -> None:
    """Give up releases beyond the newest KEPT besides the live one, and those that never went live.

    Never one that a slot holds or that an open deployment is about.
    """
    await connection.execute(
        """WITH wanted AS (
               SELECT release_id AS id FROM slots WHERE environment_id = $1
               UNION SELECT release_id FROM deployments WHERE environment_id = $1 AND release_id IS NOT NULL
                   AND state NOT IN ('live', 'failed', 'cancelled', 'superseded')
               UNION SELECT r.id FROM releases r JOIN deployments d
                   ON d.environment_id = $1 AND d.target_release = r.number AND r.environment_id = $1
                   AND d.state NOT IN ('live', 'failed', 'cancelled', 'superseded')
           ), kept AS (
               SELECT r.id FROM releases r
               WHERE r.environment_id = $1 AND r.pruned_at IS NULL
                 AND EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.state = 'live')
                 AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.release_id = r.id AND s.role = 'live')
               ORDER BY r.number DESC LIMIT $2
           )
           UPDATE releases SET pruned_at = now()
           WHERE environment_id = $1 AND pruned_at IS NULL
             AND id NOT IN (SELECT id FROM wanted) AND id NOT IN (SELECT id FROM kept)""",
        environment_id, KEPT,
    )  # fmt: skip


async def list_to_empty(connection: Connection, environment_id: int) -> list[Release]:
    """Those given up whose variables are still there: here, and in their launcher files."""
    rows = await connection.fetch(
        f"SELECT {_RELEASE} {_FROM} WHERE r.environment_id = $1 AND r.pruned_at IS NOT NULL AND r.variables <> ''",
        environment_id,
    )
    return [_release(row) for row in rows]


async def empty(connection: Connection, release_id: int) -> None:
    """Forget the variables of one that was given up."""
    await connection.execute("UPDATE releases SET variables = '' WHERE id = $1 AND pruned_at IS NOT NULL", release_id)


async def delete_forgotten(connection: Connection, limit: int) -> int:
    """Delete releases that were given up and of which no deployment tells any more, at most `limit`; → how many."""
    rows = await connection.fetch(
        """DELETE FROM releases WHERE id IN (
               SELECT id FROM releases r WHERE pruned_at IS NOT NULL AND variables = ''
                 AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id)
                 AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.release_id = r.id)
               ORDER BY id LIMIT $1)
           RETURNING id""",
        limit,
    )
    return len(rows)
