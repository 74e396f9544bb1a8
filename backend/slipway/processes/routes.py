"""/api/…/processes, scale and crashes."""

from litestar import get, put
from litestar.params import JSONBody

from slipway.apps.models import App, Environment
from slipway.apps.routes import ENVIRONMENT, EnvironmentView, environment_view
from slipway.events.models import Actor
from slipway.processes.models import Crash, ProcessState
from slipway.processes.service import Processes
from slipway.settings import Settings
from slipway.web.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from slipway.web.policies import Policy


@get(ENVIRONMENT + "/processes", policy=Policy.VIEWER)
async def list_processes(app: App, environment: Environment, processes: Processes) -> list[ProcessState]:
    """The live release's processes and what their instances do; empty where nothing is live."""
    return await processes.list_processes(app, environment)


@put(ENVIRONMENT + "/scale", policy=Policy.MEMBER)
async def scale(
    data: JSONBody[dict[str, int]],
    app: App,
    environment: Environment,
    actor: Actor,
    processes: Processes,
    settings: Settings,
) -> EnvironmentView:
    """How many instances of processes are to run: process → number. Those left out stay as they are.

    Answers when it is so, at the latest after five seconds: then it is still on its way (an old instance finishes its
    requests, say), and `processes` shows how far.
    """
    return environment_view(app, await processes.scale(actor, app, environment, data), settings)


@get(ENVIRONMENT + "/crashes", policy=Policy.VIEWER)
async def list_crashes(
    environment: Environment, processes: Processes, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[Crash]:
    """Instances that ended unasked, newest first."""
    found = await processes.list_crashes(environment, decode_cursor(cursor, int), limit + 1)
    return page(found, limit, lambda crash: crash.id)


HANDLERS = [list_processes, scale, list_crashes]
