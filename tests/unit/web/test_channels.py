"""One reader for all who watch the same log."""

import asyncio
from collections.abc import AsyncIterator

from slipway.web import channels
from slipway.web.channels import Channel, Channels


def test_a_channel_forgets_the_oldest_but_never_the_newest() -> None:
    async def scenario() -> None:
        channel = Channel(0)
        for number in range(1, 4):
            channel.put(number, b"x" * channels.WINDOW_BYTES)
        assert channel.find_after(0) is None
        newest = channel.find_after(2)
        assert newest is not None
        assert newest.last == 3

    asyncio.run(scenario())


async def test_many_watchers_cost_one_reader_which_ends_with_the_last_of_them() -> None:
    begun, ended = 0, 0

    async def follow(key: int, after: int) -> AsyncIterator[list[int]]:
        nonlocal begun, ended
        begun += 1
        try:
            for number in range(after + 1, 1000):
                yield [number]
                await asyncio.sleep(0.001)
        finally:
            ended += 1

    shared = Channels(follow, lambda lines: (lines[-1], b"%d" % lines[-1]))

    async def watch() -> list[int]:
        seen: list[int] = []
        async with shared.join(1, 0) as channel:
            while len(seen) < 20:
                batch = channel.find_after(len(seen))
                if batch is None:
                    await channel.change()
                else:
                    seen.append(batch.last)
        return seen

    for seen in await asyncio.gather(*(watch() for _ in range(50))):
        assert seen == list(range(1, 21))
    assert (begun, ended) == (1, 1)


async def test_a_reader_that_fails_ends_its_watchers_streams_and_the_next_one_begins_anew() -> None:
    async def follow(key: int, after: int) -> AsyncIterator[list[int]]:
        yield [1]
        raise RuntimeError("the database is gone")

    shared = Channels(follow, lambda lines: (lines[-1], b"1"))
    for _ in range(2):
        async with shared.join(1, 0) as channel:
            while not channel.ended:
                await channel.change()
            assert channel.last == 1
