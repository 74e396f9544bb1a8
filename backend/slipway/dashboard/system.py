"""The server's own page: its figures, its operating system and that one's updates."""

from typing import Annotated, Any

from litestar import MediaType, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from slipway.clock import now
from slipway.dashboard.charts import Period, charts_of_box
from slipway.events.models import Actor
from slipway.metrics.service import Metrics
from slipway.reconcile.service import Reconciler
from slipway.system.operating_system import Machine
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.views import AnyRequest, Notice, draw, go, read_form

ChosenPeriod = Annotated[Period, QueryParameter(name="period")]


@get("/system", policy=Policy.ADMINISTRATOR)
async def show_system(
    request: AnyRequest,
    caller: Caller,
    machine: Machine,
    metrics: Metrics,
    reconciler: Reconciler,
    period: ChosenPeriod = Period.HOUR,
) -> Template:
    return draw(
        request,
        "system",
        system=await machine.operating_system(),
        drift=reconciler.findings_for(caller.team_ids),
        looked_at=reconciler.looked_at,
        topics="system",
        **await _figures(metrics, period),
        here="/system" if period is Period.HOUR else f"/system?period={period.value}",
    )


@get("/system/figures", policy=Policy.ADMINISTRATOR)
async def show_figures(metrics: Metrics, period: ChosenPeriod = Period.HOUR) -> Template:
    """The charts alone: what is fetched again when there are new figures."""
    return Template("pages/figures.html", context=await _figures(metrics, period), media_type=MediaType.HTML)


async def _figures(metrics: Metrics, period: Period) -> dict[str, Any]:
    figures = await metrics.of_box(now() - period.length, None, period.step)
    charts = charts_of_box(figures, period)
    return {"charts": charts, "periods": list(Period), "period": period, "address": "/system/figures"}


@post("/system/security-updates", policy=Policy.ADMINISTRATOR, status_code=303)
async def set_security_updates(request: AnyRequest, actor: Actor, machine: Machine) -> Redirect:
    """Turn them on or off."""
    on = (await read_form(request)).text("on") == "yes"
    await machine.set_security_updates(actor, on=on)
    return go("/system", Notice.SECURITY_UPDATES_ON if on else Notice.SECURITY_UPDATES_OFF)


HANDLERS = [show_system, show_figures, set_security_updates]
