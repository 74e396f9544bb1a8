"""Counting server errors from nginx's access log."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

from slipway import clock
from slipway.routing.access_log import KEPT_SECONDS, ErrorCounts


def answered(environment: int, status: int, at: float) -> str:
    return json.dumps({"at": at, "environment": str(environment), "status": status, "client": "127.0.0.1"}) + "\n"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.05)


async def test_answers_are_counted_as_they_come_and_forgotten_when_nobody_asks_for_them_any_more(
    tmp_path: Path,
) -> None:
    path, now = tmp_path / "access.log", clock.now().timestamp()
    path.touch()
    counts = ErrorCounts(path)
    reading = asyncio.create_task(counts.read())
    try:
        with path.open("a", buffering=1) as file:
            while counts.since(1, now) == (0, 0):  # it begins at the file's end, whenever that is
                file.write(answered(1, 200, now))
                await asyncio.sleep(0.05)
            begun, _ = counts.since(1, now)
            file.write(answered(2, 500, now - KEPT_SECONDS - 10) + answered(1, 502, now) + answered(3, 200, now))
            await until(lambda: counts.since(3, now) == (1, 0))
        answers, errors = counts.since(1, now)
        assert answers > begun
        assert errors == 1
        assert counts.since(2, 0) == (0, 0), "too old to be asked for"
        assert 2 not in counts._answers, "an environment without answers takes no memory"
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
