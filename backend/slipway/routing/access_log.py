"""Answers and server errors of each environment, counted from nginx's access log as it grows."""

import asyncio
from collections import defaultdict, deque
from pathlib import Path

import msgspec

from slipway import clock
from slipway.growing import GrowingFile

KEPT = 2000
"""Answers of an environment that are remembered, at most."""
KEPT_SECONDS = 300.0
"""How long they are: nobody asks further back than the minute after a switch."""
LOOK_SECONDS = 0.5
_MOST_BYTES = 8 * 1024 * 1024


class _Line(msgspec.Struct, frozen=True):
    at: float
    environment: str = ""
    status: int = 0
    client: str = ""


_decoder = msgspec.json.Decoder(_Line)


class ErrorCounts:
    """Reads by inode and offset, so that a rotated file is read to its end first; starts at the file's end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._answers: dict[int, deque[tuple[float, bool]]] = defaultdict(lambda: deque(maxlen=KEPT))

    def forget_old(self, moment: float) -> None:
        """Drop answers from before a moment, and environments of which none is left."""
        for environment_id, answers in list(self._answers.items()):
            while answers and answers[0][0] < moment:
                answers.popleft()
            if not answers:
                del self._answers[environment_id]

    def since(self, environment_id: int, moment: float) -> tuple[int, int]:
        """How many answers there were since a moment (seconds since the epoch), and how many of them were 5xx."""
        recent = [bad for at, bad in self._answers.get(environment_id, ()) if at >= moment]
        return len(recent), sum(recent)

    async def read(self) -> None:
        """Follow the file for ever."""
        file = GrowingFile(self._path)
        try:
            while True:
                try:
                    for line in file.read(_MOST_BYTES):
                        self._take(line)
                except OSError:  # not there yet, or just being rotated
                    pass
                self.forget_old(clock.now().timestamp() - KEPT_SECONDS)
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            file.close()

    def _take(self, line: bytes) -> None:
        try:
            entry = _decoder.decode(line)
        except msgspec.MsgspecError:
            return
        if entry.environment.isascii() and entry.environment.isdigit() and not entry.client.startswith("unix:"):
            self._answers[int(entry.environment)].append((entry.at, entry.status >= 500))
