"""Events in PostgreSQL."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec

from slipway.db import Connection
from slipway.events.models import Event


async def insert_event(
    connection: Connection,
    kind: str,
    actor: str,
    team_id: int | None,
    app_id: int | None,
    environment_id: int | None,
    data: dict[str, Any],
) -> None:
    await connection.execute(
        "INSERT INTO events (kind, actor, team_id, app_id, environment_id, data) VALUES ($1, $2, $3, $4, $5, $6)",
        kind, actor, team_id, app_id, environment_id, data,
    )  # fmt: skip


async def list_events(
    connection: Connection, team_ids: Sequence[int] | None, before: int | None, limit: int
) -> list[Event]:
    rows = await connection.fetch(
        """SELECT id, at, kind, actor, team_id, app_id, environment_id, data FROM events
           WHERE ($1::bigint[] IS NULL OR team_id = ANY($1)) AND id < $2 ORDER BY id DESC LIMIT $3""",
        None if team_ids is None else list(team_ids), before or 2**62, limit,
    )  # fmt: skip
    return [msgspec.convert(dict(row), Event) for row in rows]


async def was_recorded(connection: Connection, kind: str, actor: str, address: str, since: timedelta) -> bool:
    """Whether there is one of this kind, actor and address that is no older."""
    found: bool = await connection.fetchval(
        """SELECT EXISTS (SELECT FROM events
                          WHERE kind = $1 AND actor = $2 AND data->>'address' = $3 AND at > now() - $4::interval)""",
        kind, actor, address, since,
    )  # fmt: skip
    return found


async def delete_old(connection: Connection, days: int, limit: int) -> int:
    """Delete events that are older, the oldest first, at most `limit`; → how many."""
    rows = await connection.fetch(
        """DELETE FROM events WHERE id IN (
               SELECT id FROM events WHERE at < now() - make_interval(days => $1) ORDER BY at LIMIT $2)
           RETURNING id""",
        days, limit,
    )  # fmt: skip
    return len(rows)
