"""Settling in the background: who asks for it does not wait, and one slow environment holds up no other."""

import asyncio

import structlog

from slipway.deployments import settling
from slipway.deployments.tools import Tools
from slipway.errors import NotFound, SlipwayError, Unavailable

log = structlog.get_logger()
TRY_AGAIN_SECONDS = 1.0
AT_ONCE = 16
"""Environments: after a reboot they all come."""


class Settler:
    def __init__(self, tools: Tools) -> None:
        self._tools = tools
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._again: set[int] = set()
        self._several = asyncio.Semaphore(AT_ONCE)

    def ask(self, environment_id: int) -> None:
        """Settle it soon; once more where it is being settled now, which may have read what is old by now."""
        if environment_id in self._tasks:
            self._again.add(environment_id)
            return
        task = asyncio.create_task(self._settle(environment_id), name=f"settle {environment_id}")
        self._tasks[environment_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(environment_id, None))

    async def settle(self, environment_id: int, within: float) -> None:
        """Ask, and wait until it is done, but no longer than `within` seconds: then it goes on by itself."""
        self.ask(environment_id)
        await asyncio.wait([self._tasks[environment_id]], timeout=within)

    async def stop(self) -> None:
        """Let go of everything, as it is: the next start settles."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, environment_id: int) -> None:
        while True:
            self._again.discard(environment_id)
            try:
                async with self._several:
                    await settling.settle(self._tools, environment_id)
            except Unavailable as error:  # the host agent or the database is away: what is true then is asked for then
                log.info("settle.waiting", environment=environment_id, error=error.message)
                await asyncio.sleep(TRY_AGAIN_SECONDS)
                continue
            except NotFound:
                return  # deleted meanwhile
            except SlipwayError as error:
                log.error("settle", environment=environment_id, error=error.message)
            except Exception:
                log.exception("settle.error", environment=environment_id)
            if environment_id not in self._again:
                return
