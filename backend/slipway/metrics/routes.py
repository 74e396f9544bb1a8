"""/api/…/metrics: what an environment uses; /api/system/metrics: what the whole box does."""

from datetime import datetime
from typing import Annotated

from litestar import get
from litestar.params import QueryParameter

from slipway.apps.models import Environment
from slipway.apps.routes import ENVIRONMENT
from slipway.metrics.models import BoxFigures, Figures
from slipway.metrics.service import Metrics
from slipway.web.policies import Policy

Start = Annotated[datetime | None, QueryParameter(name="from", description="Without it: an hour before `to`.")]
End = Annotated[datetime | None, QueryParameter(name="to", description="Without it: now.")]
Step = Annotated[
    int | None,
    QueryParameter(
        ge=1, le=604_800,
        description="Seconds that a point stands for; without it, what makes about 240 points. At least what is kept.",
    ),
]  # fmt: skip


@get(ENVIRONMENT + "/metrics", policy=Policy.VIEWER)
async def show_metrics(
    environment: Environment, metrics: Metrics, start: Start = None, end: End = None, step: Step = None
) -> Figures:
    """Processor, memory, tasks, disk, kills for memory, and requests with how they were answered, over time."""
    return await metrics.of_environment(environment, start, end, step)


@get("/api/system/metrics", policy=Policy.ADMINISTRATOR)
async def show_box_metrics(metrics: Metrics, start: Start = None, end: End = None, step: Step = None) -> BoxFigures:
    """The machine's processor, memory, disk, load and network, and all requests that nginx answered."""
    return await metrics.of_box(start, end, step)


HANDLERS = [show_metrics, show_box_metrics]
