"""Tells watchers what changed: from systemd's signals and the folder of exit records, never by asking in a loop."""

import asyncio

import watchfiles

from slipway.host.agent import work
from slipway.host.agent.box import Box
from slipway.host.protocol import Changed

SETTLE_SECONDS = 0.02
"""systemd sends several signals for one transition; watchers hear of it once."""
MAX_BEHIND = 1000
"""Changes that a watcher may be behind before it is cut off; it then asks for everything anew."""


class Changes:
    def __init__(self, box: Box) -> None:
        self._box = box
        self._watchers: set[asyncio.Queue[Changed | None]] = set()
        self._pending: set[str] = set()
        box.systemd.on_change(self._unit_changed)

    def subscribe(self) -> "asyncio.Queue[Changed | None]":
        """A queue of changes; None at its end."""
        queue: asyncio.Queue[Changed | None] = asyncio.Queue(MAX_BEHIND + 1)
        self._watchers.add(queue)
        return queue

    def unsubscribe(self, queue: "asyncio.Queue[Changed | None]") -> None:
        self._watchers.discard(queue)

    async def follow_exits(self) -> None:
        """Until cancelled: a record that appears is a change."""
        # It looks every so many milliseconds, of an idle server too.
        async for found in watchfiles.awatch(self._box.paths.exits, step=100, debounce=100, recursive=False):
            if any(change is watchfiles.Change.added for change, _ in found):
                self._tell(Changed(exit=True))

    def _unit_changed(self, unit: str) -> None:
        names = self._box.names
        if unit in self._pending or (names.find_instance(unit) is None and names.find_work(unit) is None):
            return
        self._pending.add(unit)
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._settled, unit)

    def _settled(self, unit: str) -> None:
        self._pending.discard(unit)
        found = self._box.names.find_work(unit)
        if found is None:
            self._tell(Changed(unit=unit, instance=self._box.names.find_instance(unit)))
            return
        if not self._box.has_unit(unit):
            # systemd would look for its file, in all its folders, at each question.
            self._tell(Changed(unit=unit, work=found))
            return
        state = self._box.systemd.state(unit)
        if state.over:
            work.end_leftovers(self._box, unit, state)
        self._tell(Changed(unit=unit, work=found if state.over else None))

    def _tell(self, change: Changed) -> None:
        for queue in list(self._watchers):
            if queue.qsize() >= MAX_BEHIND:
                self._watchers.discard(queue)
                queue.put_nowait(None)
            else:
                queue.put_nowait(change)
