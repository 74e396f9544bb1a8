"""Logs of deployments in PostgreSQL, and how far the journal was read."""

from collections.abc import Sequence

import msgspec

from slipway.db import Connection
from slipway.logs.models import LogLine


async def list_lines(
    connection: Connection, deployment_id: int, after: int, limit: int, characters: int
) -> list[LogLine]:
    """At least one where there is one; no more once they have so many characters."""
    rows = await connection.fetch(
        """SELECT number, at, phase, text FROM (
               SELECT *, sum(length(text)) OVER (ORDER BY number) - length(text) AS before FROM (
                   SELECT number, at, phase, text FROM deployment_log
                   WHERE deployment_id = $1 AND number > $2 ORDER BY number LIMIT $3) AS page) AS counted
           WHERE before < $4 ORDER BY number""",
        deployment_id, after, limit, characters,
    )  # fmt: skip
    return [msgspec.convert(dict(row), LogLine) for row in rows]


async def list_last_lines(connection: Connection, deployment_id: int, limit: int) -> list[LogLine]:
    """The end of a log, oldest first."""
    rows = await connection.fetch(
        """SELECT number, at, phase, text FROM deployment_log
           WHERE deployment_id = $1 ORDER BY number DESC LIMIT $2""",
        deployment_id, limit,
    )  # fmt: skip
    return [msgspec.convert(dict(row), LogLine) for row in reversed(rows)]


async def last_number(connection: Connection, deployment_id: int) -> int:
    number: int = await connection.fetchval(
        "SELECT coalesce(max(number), 0) FROM deployment_log WHERE deployment_id = $1", deployment_id
    )
    return number


async def existing_deployments(connection: Connection, deployment_ids: Sequence[int]) -> set[int]:
    rows = await connection.fetch("SELECT id FROM deployments WHERE id = ANY($1::bigint[])", list(deployment_ids))
    return {row["id"] for row in rows}


async def copy_lines(connection: Connection, lines: Sequence[tuple[int, LogLine]]) -> None:
    await connection.copy_records_to_table(
        "deployment_log",
        records=[(deployment_id, line.number, line.at, line.phase, line.text) for deployment_id, line in lines],
        columns=["deployment_id", "number", "at", "phase", "text"],
    )


async def find_cursors(connection: Connection) -> dict[str, str]:
    """By namespace of the journal."""
    return {row["namespace"]: row["cursor"] for row in await connection.fetch("SELECT * FROM journal_cursors")}


async def put_cursor(connection: Connection, namespace: str, cursor: str) -> None:
    await connection.execute(
        """INSERT INTO journal_cursors (namespace, cursor) VALUES ($1, $2)
           ON CONFLICT (namespace) DO UPDATE SET cursor = excluded.cursor""",
        namespace, cursor,
    )  # fmt: skip


async def list_old(connection: Connection, kept: int) -> list[int]:
    """The deployments whose logs may go, oldest first.

    Each environment's newest `kept` deployments, and what is still under way, have theirs.
    """
    rows = await connection.fetch(
        """SELECT id FROM (SELECT id, state, row_number() OVER (PARTITION BY environment_id ORDER BY id DESC) AS n
                           FROM deployments) AS numbered
           WHERE n > $1 AND state IN ('live', 'failed', 'cancelled', 'superseded')
             AND EXISTS (SELECT 1 FROM deployment_log WHERE deployment_id = id)
           ORDER BY id""",
        kept,
    )
    return [row["id"] for row in rows]


async def delete_lines(connection: Connection, deployment_id: int, after: int, to: int) -> None:
    await connection.execute(
        "DELETE FROM deployment_log WHERE deployment_id = $1 AND number > $2 AND number <= $3",
        deployment_id, after, to,
    )  # fmt: skip
