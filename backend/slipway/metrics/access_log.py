"""Requests of each environment, counted from nginx's access log."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from slipway.growing import GrowingFile, Position
from slipway.metrics.models import Traffic, floor

MOST_BYTES = 4 * 1024 * 1024
"""Read at once."""
MOST_BEHIND = 256 * 1024 * 1024
"""What is further back than this is left out: a daemon that was away must not be busy for minutes."""
PANEL = 0
"""Stands for Slipway's own pages, among the environments."""


class _Line(msgspec.Struct, frozen=True):
    """What is looked at of a line; the rest of it strangers wrote."""

    at: float
    environment: str = ""
    status: int = 0
    seconds: float = 0.0
    began: str = ""
    """Seconds until each upstream's answer began, as nginx writes them (`0.003, 0.120`); empty without an upstream."""
    client: str = ""


_decoder = msgspec.json.Decoder(_Line)
Counted = dict[tuple[int, datetime], Traffic]


class AccessLog:
    """Counts each line once. Whoever stores the counts stores `position` with them, and goes on from it."""

    def __init__(self, path: Path, every_seconds: int) -> None:
        self._path = path
        self._every = every_seconds
        self._file: GrowingFile | None = None

    def go_on(self, start: Position | None) -> None:
        """Begin after what was counted before; without that, at the file's present end."""
        self.close()
        self._file = GrowingFile(self._path, start)

    @property
    def position(self) -> Position | None:
        return self._file.position if self._file else None

    def read(self, now: datetime, oldest: datetime, forgotten: datetime) -> Counted:
        """Everything new, by environment and the beginning of its time. Blocks for as long as reading takes.

        What is older than `oldest` counts as if it was then; what is older than `forgotten` not at all.
        """
        assert self._file is not None
        counted: Counted = {}
        try:
            while lines := self._file.read(MOST_BYTES):
                if self._file.behind() > MOST_BEHIND:
                    self._file.skip()
                for line in lines:
                    self._count(line, counted, now, oldest, forgotten)
        except OSError:  # not there yet, or just being rotated
            pass
        return counted

    def _count(self, line: bytes, counted: Counted, now: datetime, oldest: datetime, forgotten: datetime) -> None:
        entry = parse(line)
        if entry is None:
            return
        environment_id, moment, status, seconds = entry
        if moment < forgotten:
            return
        at = max(floor(min(moment, now), self._every), oldest)
        traffic = counted.get((environment_id, at))
        if traffic is None:
            traffic = counted[environment_id, at] = Traffic()
        traffic.add(status, seconds)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def parse(line: bytes) -> tuple[int, datetime, int, float] | None:
    """Environment, moment, status and seconds until the answer began; None of what is no request of a visitor."""
    try:
        entry = _decoder.decode(line)
        moment = datetime.fromtimestamp(entry.at, UTC)
    except (msgspec.MsgspecError, ValueError, OverflowError, OSError):
        return None
    if entry.client.startswith("unix:") or not 100 <= entry.status <= 599:
        return None
    if entry.environment == "":
        environment_id = PANEL
    elif entry.environment.isascii() and entry.environment.isdigit() and len(entry.environment) <= 16:
        environment_id = int(entry.environment)
    else:
        return None
    return environment_id, moment, entry.status, _until_answered(entry)


def _until_answered(entry: _Line) -> float:
    """A stream that is open for hours was answered when it began. Without an upstream: the whole of it."""
    words = [word for word in entry.began.replace(" : ", ",").split(",") if word.strip() not in ("", "-")]
    if not words:
        return entry.seconds
    try:
        return sum(float(word) for word in words)
    except ValueError:
        return entry.seconds
