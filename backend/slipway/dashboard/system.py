"""The server's own page: its figures, its operating system and that one's updates."""

import asyncio
from typing import Annotated

from litestar import get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from slipway.clock import now
from slipway.dashboard.charts import Period, charts_of_box
from slipway.events.models import Actor
from slipway.metrics.service import Metrics
from slipway.system.operating_system import Machine
from slipway.web.policies import Policy
from slipway.web.views import AnyRequest, Notice, draw, go, read_form

ChosenPeriod = Annotated[Period, QueryParameter(name="period")]


@get("/system", policy=Policy.ADMINISTRATOR)
async def show_system(
    request: AnyRequest, machine: Machine, metrics: Metrics, period: ChosenPeriod = Period.HOUR
) -> Template:
    system, figures = await asyncio.gather(
        machine.operating_system(), metrics.of_box(now() - period.length, None, period.step)
    )
    return draw(
        request,
        "system",
        system=system,
        charts=charts_of_box(figures, period),
        periods=list(Period),
        period=period,
        topics="figures",
        here="/system" if period is Period.HOUR else f"/system?period={period.value}",
    )


@post("/system/security-updates", policy=Policy.ADMINISTRATOR, status_code=303)
async def set_security_updates(request: AnyRequest, actor: Actor, machine: Machine) -> Redirect:
    """Turn them on or off."""
    on = (await read_form(request)).text("on") == "yes"
    await machine.set_security_updates(actor, on=on)
    return go("/system", Notice.SECURITY_UPDATES_ON if on else Notice.SECURITY_UPDATES_OFF)


HANDLERS = [show_system, set_security_updates]
