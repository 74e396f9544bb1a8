"""Sampling for ever."""

import asyncio
import time

import structlog

from slipway.errors import Unavailable
from slipway.metrics.service import Metrics

log = structlog.get_logger("slipway.metrics")
DROP_SECONDS = 3600.0


async def sample_for_ever(metrics: Metrics, every_seconds: float) -> None:
    """A sample each time, and what is old dropped once an hour. What does not work is left out: nothing is made up for.

    Figures are no reason to end the daemon: a fault in them is said, and the next sample tried.
    """
    dropped = float("-inf")
    failing = False
    while True:
        began = time.monotonic()
        try:
            await metrics.sample()
            if began - dropped >= DROP_SECONDS:
                await metrics.drop_old()
                dropped = began
            failing = False
        except Unavailable as error:
            if not failing:
                log.warning("figures.skipped", error=error.message)
            failing = True
        except Exception:
            if not failing:
                log.exception("figures.failed")
            failing = True
        await asyncio.sleep(max(1.0, every_seconds - (time.monotonic() - began)))
