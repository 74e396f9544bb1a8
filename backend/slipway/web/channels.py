"""One reader and one encoding for all who watch the same growing log."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

import msgspec
import structlog

T = TypeVar("T")
log = structlog.get_logger("slipway.web")

WINDOW_BYTES = 1_000_000
"""How much of the newest a channel keeps for those who are slower."""


class Batch(msgspec.Struct, frozen=True):
    """The lines with numbers above `after` up to `last`, encoded."""

    after: int
    last: int
    event: bytes


class Channel:
    """The newest batches of a log. Watchers wait on one shared future, so that a batch wakes them all at once."""

    def __init__(self, start: int) -> None:
        self.last = start
        self.ended = False
        self._batches: deque[Batch] = deque()
        self._bytes = 0
        self._changed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def put(self, last: int, event: bytes) -> None:
        self._batches.append(Batch(self.last, last, event))
        self.last = last
        self._bytes += len(event)
        while self._bytes > WINDOW_BYTES and len(self._batches) > 1:
            self._bytes -= len(self._batches.popleft().event)
        self._wake()

    def end(self) -> None:
        self.ended = True
        self._wake()

    def find_after(self, number: int) -> Batch | None:
        """The batch that begins right after a line; None where there is none, or it is no longer kept."""
        if self._batches and self._batches[-1].after == number:
            return self._batches[-1]
        return next((batch for batch in self._batches if batch.after == number), None)

    async def change(self) -> bool:
        """Wait for the next batch or the end; → True. May be abandoned at any time."""
        await asyncio.shield(self._changed)
        return True

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.get_running_loop().create_future()
        if not changed.done():
            changed.set_result(None)


class Channels(Generic[T]):
    """Channels by key; each lives from its first watcher to its last.

    `follow(key, after)` gives batches of new lines, and ends when the log does; `encode(lines)` makes (last number,
    event) of a batch.
    """

    def __init__(
        self,
        follow: Callable[[int, int], AsyncIterator[list[T]]],
        encode: Callable[[list[T]], tuple[int, bytes]],
    ) -> None:
        self._follow = follow
        self._encode = encode
        self._open: dict[Hashable, tuple[Channel, asyncio.Task[None]]] = {}
        self._watchers: dict[Hashable, int] = {}

    @asynccontextmanager
    async def join(self, key: int, start: int) -> AsyncIterator[Channel]:
        """Watch a log. A channel that is new begins after line `start`."""
        if key not in self._open:
            channel = Channel(start)
            self._open[key] = (channel, asyncio.create_task(self._read(key, channel)))
            self._watchers[key] = 0
        channel, task = self._open[key]
        self._watchers[key] += 1
        try:
            yield channel
        finally:
            self._watchers[key] -= 1
            if not self._watchers[key]:
                del self._open[key], self._watchers[key]
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _read(self, key: int, channel: Channel) -> None:
        try:
            async for lines in self._follow(key, channel.last):
                if lines:
                    channel.put(*self._encode(lines))
        except Exception as error:
            # The watchers' streams end; their clients come back and begin a new channel.
            log.error("a log cannot be followed any further", key=key, exc_info=error)
        finally:
            channel.end()
