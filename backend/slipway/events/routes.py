"""/api/events: who did what."""

from litestar import get

from slipway.events.models import Event
from slipway.events.service import Events
from slipway.web.callers import Caller
from slipway.web.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from slipway.web.policies import Policy


@get("/api/events", policy=Policy.SIGNED_IN)
async def list_events(
    caller: Caller, events: Events, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Event]:
    """What happened in the caller's teams, newest first."""
    found = await events.list_events(caller.team_ids, decode_cursor(cursor, int), limit + 1)
    return page(found, limit, lambda event: event.id)


HANDLERS = [list_events]
