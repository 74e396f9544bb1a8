"""/api/…/log: what an environment's instances write."""

from collections.abc import AsyncIterator
from enum import StrEnum
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get
from litestar.params import QueryParameter
from litestar.types import ASGIApp

from slipway.apps.models import Environment
from slipway.apps.routes import ENVIRONMENT
from slipway.logs.models import RuntimeLine
from slipway.logs.service import Logs
from slipway.web.pagination import Page
from slipway.web.policies import Policy
from slipway.web.streams import IDLE, MAX_EVENT_ID, Streams, encode_event, pump

TAIL = 200
MOST_LINES = 2000


class Format(StrEnum):
    TEXT = "text"
    JSON = "json"


Lines = Annotated[int, QueryParameter(ge=1, le=MOST_LINES, description="How many lines, at most 2000.")]
FormatParameter = Annotated[Format, QueryParameter(name="format", description="`text`, or `json` in pages.")]
JournalCursor = Annotated[
    str | None, QueryParameter(max_length=MAX_EVENT_ID, description="A line's `cursor`; the answer goes on from it.")
]


@get(ENVIRONMENT + "/log", policy=Policy.VIEWER)
async def show_log(
    environment: Environment,
    logs: Logs,
    lines: Lines = TAIL,
    before: JournalCursor = None,
    output: FormatParameter = Format.TEXT,
) -> Response[Any]:
    """The newest lines, oldest first; or those before a line. `next` of a JSON page is the `before` of older ones."""
    found, older = await logs.runtime_page(environment, lines, before)
    if output is Format.JSON:
        return Response(Page(found, older), media_type=MediaType.JSON)
    return Response("".join(f"{as_text(line)}\n" for line in found), media_type=MediaType.TEXT)


@get(ENVIRONMENT + "/log/stream", policy=Policy.VIEWER, stream=True)
async def stream_log(
    request: Request[Any, Any, Any],
    environment: Environment,
    logs: Logs,
    streams: Streams,
    after: JournalCursor = None,
    tail: Annotated[int, QueryParameter(ge=0, le=MOST_LINES, description="Lines to begin with.")] = TAIL,
) -> ASGIApp:
    """Server-Sent Events: `lines` with a list of lines; ids are journal cursors, so a client resumes where it was."""
    last_seen = request.headers.get("last-event-id") or after
    return streams.open(request, _runtime(environment, logs, last_seen, tail))


async def _runtime(environment: Environment, logs: Logs, after: str | None, tail: int) -> AsyncIterator[bytes]:
    # At once, so that the client knows that it is connected before the first line comes.
    yield IDLE
    async for batch in pump(logs.follow_runtime(environment, after, tail)):
        yield IDLE if batch is None else _encoded(batch)


def _encoded(lines: list[RuntimeLine]) -> bytes:
    return encode_event("lines", lines, lines[-1].cursor)


def as_text(line: RuntimeLine) -> str:
    return f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.process}.{line.rank} v{line.release} | {line.text}"


HANDLERS = [show_log, stream_log]
