"""The time, in one place, so that tests may move it."""

from datetime import UTC, datetime


def now() -> datetime:
    """The present moment, with its time zone (UTC)."""
    return datetime.now(UTC)
