"""Settling in the background: who asks for it need not wait, and one slow environment holds up no other."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from slipway.errors import NotFound, SlipwayError, Unavailable

log = structlog.get_logger()
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 60.0
"""Seconds between one try that was refused and the next, unless somebody asks again."""


class Settler:
    def __init__(self, settle: Callable[[int], Awaitable[None]]) -> None:
        """`settle` brings one environment to what its rows say, as `settling.settle` does."""
        self._settle_one = settle
        self._tasks: dict[int, asyncio.Task[None]] = {}
        self._asked: defaultdict[int, asyncio.Event] = defaultdict(asyncio.Event)
        self._waiting: defaultdict[int, list[asyncio.Future[None]]] = defaultdict(list)
        """Who waits for a try that begins after they asked."""
        self._stopping = False

    def ask(self, environment_id: int) -> None:
        """Settle it soon; once more where it is being settled now, which may have read what is old by now."""
        if self._stopping:
            return  # the next start settles
        self._asked[environment_id].set()
        if environment_id not in self._tasks:
            name = f"settle {environment_id}"
            self._tasks[environment_id] = asyncio.create_task(self._settle(environment_id), name=name)

    async def settle(self, environment_id: int, within: float | None = None) -> None:
        """Ask, and wait until it is done, for `within` seconds at the most: then it goes on by itself.

        Raises the SlipwayError of a try that was refused; it is tried again all the same.
        """
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[environment_id].append(waiting)
        self.ask(environment_id)
        with suppress(TimeoutError):
            async with asyncio.timeout(within):
                await waiting

    async def stop(self) -> None:
        """Let go of everything, as it is: the next start settles."""
        self._stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _settle(self, environment_id: int) -> None:
        asked, pause = self._asked[environment_id], FIRST_PAUSE
        try:
            while asked.is_set():
                asked.clear()
                waiting = self._waiting.pop(environment_id, [])
                problem = await self._try(environment_id)
                if isinstance(problem, Unavailable):  # what is true when it is back is asked for then
                    self._waiting[environment_id] += waiting
                    await asyncio.sleep(FIRST_PAUSE)
                    asked.set()
                    continue
                _tell(waiting, problem)
                if problem is None:
                    pause = FIRST_PAUSE
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await asked.wait()
                asked.set()
                pause = min(pause * 2, LONGEST_PAUSE)
        finally:
            # At once, before anybody else's turn: who asks from now on finds no task and makes one.
            del self._tasks[environment_id], self._asked[environment_id]

    async def _try(self, environment_id: int) -> SlipwayError | None:
        try:
            await self._settle_one(environment_id)
        except NotFound:
            pass  # deleted meanwhile
        except Unavailable as error:
            log.info("settle.waiting", environment=environment_id, error=error.message)
            return error
        except SlipwayError as error:
            log.error("settle", environment=environment_id, error=error.message)
            return error
        except Exception as error:
            log.exception("settle.error", environment=environment_id)
            return SlipwayError(f"Something in Slipway itself went wrong; its own log says what ({error!r}).")
        return None


def _tell(waiting: list[asyncio.Future[None]], problem: SlipwayError | None) -> None:
    for one in waiting:
        if one.done():
            continue  # it waited long enough
        if problem is None:
            one.set_result(None)
        else:
            one.set_exception(problem)
