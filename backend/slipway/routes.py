"""Every route of the API and of the pages, in one list."""

from litestar.types import ControllerRouterHandler

from slipway.accounts import routes as accounts
from slipway.apps import routes as apps
from slipway.certificates import routes as certificates
from slipway.dashboard import pages
from slipway.deployments import log_routes as deployment_logs
from slipway.deployments import routes as deployments
from slipway.disks import routes as disks
from slipway.events import routes as events
from slipway.logs import routes as logs
from slipway.metrics import routes as metrics
from slipway.processes import routes as processes
from slipway.reconcile import routes as reconcile
from slipway.releases import routes as releases
from slipway.routing import routes as routing
from slipway.system import routes as system
from slipway.teams import routes as teams

HANDLERS: list[ControllerRouterHandler] = [
    *accounts.HANDLERS,
    *teams.HANDLERS,
    *apps.HANDLERS,
    *deployments.HANDLERS,
    *deployment_logs.HANDLERS,
    *releases.HANDLERS,
    *routing.HANDLERS,
    *processes.HANDLERS,
    *logs.HANDLERS,
    *certificates.HANDLERS,
    *metrics.HANDLERS,
    *disks.HANDLERS,
    *events.HANDLERS,
    *system.HANDLERS,
    *reconcile.HANDLERS,
    *pages.HANDLERS,
]
