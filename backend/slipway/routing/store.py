"""Slots in PostgreSQL."""

from datetime import datetime

import asyncpg
import msgspec

from slipway.db import Connection
from slipway.routing.models import Slot, SlotRole

_SLOT = """SELECT s.environment_id, s.number, s.release_id, r.number AS release_number, s.generation, s.role,
                  s.since, s.until
           FROM slots s JOIN releases r ON r.id = s.release_id"""


def _slot(row: asyncpg.Record) -> Slot:
    return msgspec.convert(dict(row), Slot)


async def list_slots(connection: Connection, environment_id: int) -> list[Slot]:
    rows = await connection.fetch(f"{_SLOT} WHERE s.environment_id = $1 ORDER BY s.number", environment_id)
    return [_slot(row) for row in rows]


async def list_leaving(connection: Connection) -> list[Slot]:
    """Slots that drain or stand by: those whose time ends by itself."""
    rows = await connection.fetch(f"{_SLOT} WHERE s.role IN ('draining', 'standby', 'stopping') ORDER BY s.until")
    return [_slot(row) for row in rows]


async def list_live_since(connection: Connection, moment: datetime) -> list[Slot]:
    rows = await connection.fetch(f"{_SLOT} WHERE s.role = 'live' AND s.since > $1", moment)
    return [_slot(row) for row in rows]


async def take_slot(connection: Connection, environment_id: int, number: int, release_id: int, generation: int) -> None:
    await connection.execute(
        "INSERT INTO slots (environment_id, number, release_id, generation, role) VALUES ($1, $2, $3, $4, 'incoming')",
        environment_id, number, release_id, generation,
    )  # fmt: skip


async def free_slot(connection: Connection, environment_id: int, number: int) -> None:
    await connection.execute("DELETE FROM slots WHERE environment_id = $1 AND number = $2", environment_id, number)


async def set_role(
    connection: Connection, environment_id: int, number: int, role: SlotRole, until: datetime | None
) -> None:
    await connection.execute(
        "UPDATE slots SET role = $3, until = $4, since = now() WHERE environment_id = $1 AND number = $2",
        environment_id, number, role.value, until,
    )  # fmt: skip
