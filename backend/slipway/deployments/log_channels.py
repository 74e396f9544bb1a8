"""A deployment's log for any number of watchers: read once, encoded once."""

from collections.abc import AsyncIterator

from slipway.logs.models import LogLine
from slipway.logs.service import Logs
from slipway.web.channels import Channels
from slipway.web.streams import IDLE, encode_event, within_idle

CATCH_UP = 2000
CATCH_UP_CHARACTERS = 250_000
"""What one who is behind gets at a time from the database: it is kept for as long as he does not take it."""


class LogChannels:
    """Events `line`: a list of lines; the id is the number of the last."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs
        self._channels: Channels[LogLine] = Channels(
            logs.follow_deployment, lambda lines: (lines[-1].number, encode(lines))
        )

    async def watch(self, deployment_id: int, after: int) -> AsyncIterator[bytes]:
        """Every line above `after`, in order and once, until the log is complete."""
        if after:  # what is not there yet must not be waited for: everyone who joins would wait with it
            after = min(after, await self._logs.last_number(deployment_id))
        async with self._channels.join(deployment_id, after) as channel:
            while True:
                if after < channel.last:
                    batch = channel.find_after(after)
                    if batch is not None:
                        yield batch.event
                        after = batch.last
                        continue
                    # Further back than the channel keeps, or amid a batch: from the database up to its newest line.
                    lines = await self._logs.deployment_lines(deployment_id, after, CATCH_UP, CATCH_UP_CHARACTERS)
                    lines = [line for line in lines if line.number <= channel.last]
                    if lines:
                        yield encode(lines)
                        after = lines[-1].number
                        continue
                if channel.ended:
                    return
                if not await within_idle(channel.change()):
                    yield IDLE


def encode(lines: list[LogLine]) -> bytes:
    return encode_event("line", lines, lines[-1].number)
