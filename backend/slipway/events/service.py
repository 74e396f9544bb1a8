"""Recording and listing events."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from slipway.db import Connection, Database
from slipway.events import store
from slipway.events.models import Actor, Event


class Events:
    """The activity feed and audit log."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def record(
        self,
        connection: Connection,
        kind: str,
        actor: Actor,
        *,
        team_id: int | None = None,
        app_id: int | None = None,
        environment_id: int | None = None,
        **data: Any,
    ) -> None:
        """Write one event, in the caller's transaction: what happened and its record stand or fall together."""
        await store.insert_event(connection, kind, str(actor), team_id, app_id, environment_id, data)

    async def was_recorded(
        self, connection: Connection, kind: str, actor: Actor, address: str, since: timedelta
    ) -> bool:
        """Whether this actor did such a thing from this address, within the time given."""
        return await store.was_recorded(connection, kind, str(actor), address, since)

    async def list_events(
        self, team_ids: Sequence[int] | None, before: int | None = None, limit: int = 50
    ) -> list[Event]:
        """Newest first; team_ids None: of all, and those of no team."""
        async with self._db.connection() as connection:
            return await store.list_events(connection, team_ids, before, limit)
