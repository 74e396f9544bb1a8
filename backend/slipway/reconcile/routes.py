"""/api/system/drift: what is not as it should be, and having it put right."""

import asyncio
from contextlib import suppress

import msgspec
from litestar import get, post
from litestar.params import JSONBody

from slipway.events.models import Actor
from slipway.reconcile.service import Reconciler, Report
from slipway.web.policies import Policy

LOOK_SECONDS = 60.0


class RepairBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    """Of the finding; or an app's name, for all that was changed of it."""


@get("/api/system/drift", policy=Policy.OPERATOR)
async def show_drift(reconciler: Reconciler) -> Report:
    """Compare everything now, put right what is Slipway's, and say what a person changed, with the difference."""
    with suppress(TimeoutError):
        async with asyncio.timeout(LOOK_SECONDS):
            return await reconciler.look()
    return reconciler.report()  # so many are being put right; it goes on by itself


@post("/api/system/drift/repair", policy=Policy.OPERATOR, status_code=200)
async def repair_drift(data: JSONBody[RepairBody], reconciler: Reconciler, actor: Actor) -> Report:
    """Put Slipway's own back where a person changed it; what was there is kept aside on the server."""
    return await reconciler.repair(actor, data.id)


HANDLERS = [show_drift, repair_drift]
