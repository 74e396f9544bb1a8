"""Lines of logs."""

from datetime import datetime

import msgspec


class LogLine(msgspec.Struct, frozen=True):
    """One line of a deployment's log. `number` counts from 1 without gaps."""

    number: int
    at: datetime
    phase: str
    text: str


class RuntimeLine(msgspec.Struct, frozen=True):
    """One line that an instance wrote. `cursor` is the journal's, to go on after it."""

    cursor: str
    at: datetime
    release: int
    process: str
    rank: int
    text: str
