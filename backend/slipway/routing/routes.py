"""/api/…/slots: where releases run."""

from litestar import get

from slipway.apps.models import Environment
from slipway.apps.routes import ENVIRONMENT
from slipway.routing.models import Slot
from slipway.routing.service import Routing
from slipway.web.policies import Policy


@get(ENVIRONMENT + "/slots", policy=Policy.VIEWER)
async def list_slots(environment: Environment, routing: Routing) -> list[Slot]:
    """The environment's slots that hold a release: live, standby, or on the way."""
    return await routing.list_slots(environment)


HANDLERS = [list_slots]
