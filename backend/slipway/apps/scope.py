"""The app and the environment that a path names, as dependencies of handlers: `app` and `environment`."""

from typing import Any, cast

from litestar import Request

from slipway.apps.models import App, Environment
from slipway.apps.service import Apps
from slipway.errors import NotFound
from slipway.web.context import get_app
from slipway.web.policies import NAME


async def provide_app(request: Request[Any, Any, Any]) -> App:
    """The gate has found it, and checked that the caller may see it."""
    return cast("App", get_app(request))


async def provide_environment(request: Request[Any, Any, Any], apps: Apps) -> Environment:
    """`{environment_name:str}` in the path. Raises NotFound."""
    app = cast("App", get_app(request))
    name = str(request.path_params["environment_name"])
    if not NAME.match(name):
        raise NotFound(f"{app.name} has no environment named {name[:64]!r}.")
    return await apps.get_environment(app, name)
