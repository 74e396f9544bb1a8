"""/api/…/deployments/{id}/log: whole, in pages, and live."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import MediaType, Request, Response, get
from litestar.params import QueryParameter
from litestar.response import Stream
from litestar.types import ASGIApp

from slipway.apps.models import App
from slipway.deployments.log_channels import LogChannels
from slipway.deployments.routes import DEPLOYMENT
from slipway.deployments.service import Deployments
from slipway.logs.models import LogLine
from slipway.logs.routes import Format, FormatParameter
from slipway.logs.service import Logs
from slipway.web.pagination import Page
from slipway.web.path import Id
from slipway.web.policies import Policy
from slipway.web.streams import Streams, encode_event, resume_after

PAGE = 2000
After = Annotated[int, QueryParameter(ge=0, le=2**31 - 1, description="The number of the last line that is known.")]


@get(DEPLOYMENT + "/log", policy=Policy.VIEWER)
async def show_log(
    deployment_id: Id,
    app: App,
    deployments: Deployments,
    logs: Logs,
    after: After = 0,
    lines: Annotated[int, QueryParameter(ge=1, le=10_000, description="Lines of a JSON page.")] = PAGE,
    output: FormatParameter = Format.TEXT,
) -> Response[Any]:
    """The whole log as text; or JSON in pages, where `next` is the `after` of the next one."""
    deployment = await deployments.get_deployment(app, deployment_id)
    if deployment.state.ended:
        await logs.complete(deployment_id)
    if output is Format.JSON:
        found = await logs.deployment_lines(deployment_id, after, lines)
        return Response(Page(found, str(found[-1].number) if len(found) == lines else None), media_type=MediaType.JSON)
    return Stream(_text(logs, deployment_id, after), media_type=MediaType.TEXT)


@get(DEPLOYMENT + "/log/stream", policy=Policy.VIEWER, stream=True)
async def stream_log(
    request: Request[Any, Any, Any],
    deployment_id: Id,
    app: App,
    deployments: Deployments,
    log_channels: LogChannels,
    streams: Streams,
    after: After = 0,
) -> ASGIApp:
    """Server-Sent Events: `line` with a list of lines, the id is the last one's number; at last `end` with the state.

    A client that comes back with Last-Event-ID gets what it has not seen.
    """
    await deployments.get_deployment(app, deployment_id)
    after = resume_after(request.headers.get("last-event-id")) or after
    return streams.open(request, _until_end(app, deployment_id, deployments, log_channels, after))


async def _until_end(
    app: App, deployment_id: int, deployments: Deployments, log_channels: LogChannels, after: int
) -> AsyncIterator[bytes]:
    async for event in log_channels.watch(deployment_id, after):
        yield event
    deployment = await deployments.get_deployment(app, deployment_id)
    if deployment.state.ended:  # else the reader failed: without an end, the client comes back by itself
        yield encode_event("end", {"state": deployment.state.value, "reason": deployment.reason})


async def _text(logs: Logs, deployment_id: int, after: int) -> AsyncIterator[bytes]:
    while lines := await logs.deployment_lines(deployment_id, after, PAGE):
        after = lines[-1].number
        yield "".join(f"{as_text(line)}\n" for line in lines).encode()


def as_text(line: LogLine) -> str:
    return f"{line.at:%Y-%m-%dT%H:%M:%SZ} {line.phase:<9} | {line.text}"


HANDLERS = [show_log, stream_log]
