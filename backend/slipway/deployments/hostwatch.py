"""What the host agent tells: ended work, ended instances, changed units. Hints only; what is true is asked for."""

import asyncio
from collections import defaultdict
from collections.abc import Callable

import structlog

from slipway.errors import SlipwayError
from slipway.events.hub import Hub
from slipway.host.client import Host
from slipway.host.protocol import Changed, FindWork, Work, WorkKind, WorkState
from slipway.processes.service import Processes

log = structlog.get_logger()
ASK_AGAIN_SECONDS = 10.0
"""A hint that was lost costs at most this."""


class HostWatch:
    def __init__(self, host: Host, processes: Processes, hub: Hub) -> None:
        self._host = host
        self._processes = processes
        self._hub = hub
        self._waiting: dict[tuple[WorkKind, int], set[asyncio.Event]] = defaultdict(set)
        self._exits = asyncio.Event()
        self.on_change: Callable[[int], None] = lambda environment_id: None
        """Called with an environment of which an instance started or ended."""
        self.on_return: Callable[[], None] = lambda: None
        """Called when the host agent may have been away: everything may have changed."""

    async def work(self, kind: WorkKind, work_id: int) -> Work:
        """Wait until a piece of work has ended (or is unknown); → how. Rides out a host agent that restarts."""
        key, hint = (kind, work_id), asyncio.Event()
        self._waiting[key].add(hint)
        try:
            while True:
                hint.clear()
                work = await self._host.call(FindWork(kind, work_id))
                if work.state is not WorkState.RUNNING:
                    return work
                try:
                    async with asyncio.timeout(ASK_AGAIN_SECONDS):
                        await hint.wait()
                except TimeoutError:
                    pass
        finally:
            self._waiting[key].discard(hint)
            if not self._waiting[key]:
                del self._waiting[key]

    async def listen(self) -> None:
        """Follow the host agent for ever."""
        while True:
            try:
                async for changed in self._host.watch():
                    self._take(changed)
            except SlipwayError as error:
                log.info("host.watch", error=error.message)
            for hints in self._waiting.values():  # something may have ended meanwhile
                for hint in hints:
                    hint.set()
            self._exits.set()
            self.on_return()
            await asyncio.sleep(0.5)

    def _take(self, changed: Changed) -> None:
        if changed.work:
            for hint in self._waiting.get(changed.work, ()):
                hint.set()
        if changed.instance:
            self._hub.publish(f"environment:{changed.instance.environment}")
            self.on_change(changed.instance.environment)
        if changed.exit or not changed.unit:
            self._exits.set()

    async def collect_exits(self) -> None:
        """Take over exit records whenever there are new ones, for ever."""
        self._exits.set()
        while True:
            await self._exits.wait()
            self._exits.clear()
            try:
                await self._processes.collect_exits()
            except SlipwayError as error:
                log.info("exits", error=error.message)
                await asyncio.sleep(1)
                self._exits.set()
