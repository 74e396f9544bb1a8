"""An environment's runtime log, live."""

from litestar import get
from litestar.response import Template

from slipway.apps.models import App, Environment
from slipway.dashboard.environments import ENVIRONMENT
from slipway.dashboard.frame import Frames, is_static
from slipway.errors import Unavailable
from slipway.logs.models import RuntimeLine
from slipway.logs.service import Logs
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.views import AnyRequest, draw

TAIL = 200
"""Lines that are drawn at once; the stream goes on after them."""


@get(ENVIRONMENT + "/log", policy=Policy.VIEWER)
async def show_log(
    request: AnyRequest, caller: Caller, app: App, environment: Environment, frames: Frames, logs: Logs
) -> Template:
    frame = await frames.of(caller, app, environment)
    static = frame.live is not None and is_static(frame.live)
    return draw(request, "log", **frame.context("/log", lines=await _tail(logs, environment), static=static))


async def _tail(logs: Logs, environment: Environment) -> list[RuntimeLine] | None:
    try:
        return await logs.runtime_lines(environment, TAIL)
    except Unavailable:
        return None


HANDLERS = [show_log]
