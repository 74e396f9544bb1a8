"""Every page in one list."""

from litestar import Router
from litestar.di import Provide
from litestar.types import ControllerRouterHandler

from slipway.dashboard import accounts, apps, deployments, environments, log, system, variables
from slipway.dashboard.frame import provide_frames
from slipway.web.assets import show_asset

PAGES = Router(
    "",
    route_handlers=[
        *accounts.HANDLERS,
        *apps.HANDLERS,
        *environments.HANDLERS,
        *deployments.HANDLERS,
        *variables.HANDLERS,
        *log.HANDLERS,
        *system.HANDLERS,
    ],
    dependencies={"frames": Provide(provide_frames, sync_to_thread=False)},
    include_in_schema=False,
)

HANDLERS: list[ControllerRouterHandler] = [PAGES, show_asset]
