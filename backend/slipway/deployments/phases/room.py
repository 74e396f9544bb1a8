"""Room on the disk: looked at before something is fetched or built, and while it is."""

import asyncio
from collections.abc import Coroutine
from typing import Any

from slipway.deployments.tools import Attempt, Failed, Tools
from slipway.host.protocol import Work

LOOK_SECONDS = 1.0


async def ensure_room(tools: Tools, attempt: Attempt) -> None:
    """Raises Failed, with what takes the room and what to do, before anything is started."""
    if reason := await tools.disks.why_not(attempt.app, attempt.environment):
        raise Failed(f"{reason} Nothing was started; what is live goes on.")


async def unless_full(tools: Tools, work: Coroutine[Any, Any, Work]) -> Work:
    """How a piece of work ended. One that takes what must stay free fails, before the database has no room."""
    waiting = asyncio.ensure_future(work)
    try:
        while True:
            await asyncio.wait({waiting}, timeout=LOOK_SECONDS)
            if waiting.done():
                return waiting.result()
            if reason := tools.disks.nearly_full():
                raise Failed(reason)
    finally:
        waiting.cancel()
