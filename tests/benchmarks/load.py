"""Keep-alive load that notices everything: each answer is checked, nothing is tried twice, streams must live."""

import asyncio
import base64
import json
import os
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.benchmarks.wire import Connection, Target

CONNECTIONS = 32
WEBSOCKET_EVERY = 0.1


@dataclass
class Tally:
    """What the load saw."""

    requests: int = 0
    posts: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    releases: Counter[str] = field(default_factory=Counter)
    streams: list[str] = field(default_factory=list)
    """How streams broke."""
    websocket_messages: int = 0
    events: int = 0
    longest: float = 0.0
    """Seconds, of one request."""

    @property
    def failed(self) -> int:
        return sum(self.failures.values())


@asynccontextmanager
async def load(target: Target, tally: Tally) -> AsyncIterator[None]:
    """For as long as the context lasts: requests on kept connections, one WebSocket, one event stream."""
    stop = asyncio.Event()
    tasks = [asyncio.create_task(_requests(target, tally, stop, number)) for number in range(CONNECTIONS)]
    streams = [asyncio.create_task(_websocket(target, tally)), asyncio.create_task(_events(target, tally))]
    await asyncio.sleep(0.5)
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)
        for stream in streams:
            stream.cancel()
        await asyncio.gather(*streams, return_exceptions=True)


async def _requests(target: Target, tally: Tally, stop: asyncio.Event, number: int) -> None:
    connection: Connection | None = None
    count = 0
    while not stop.is_set():
        count += 1
        began = time.monotonic()
        try:
            if connection is None or connection.is_last:
                if connection:
                    connection.close()
                connection = await Connection.open(target)
            problem = await _exchange(connection, tally, number, count)
        except (OSError, EOFError, TimeoutError) as error:
            problem = type(error).__name__
        tally.requests += 1
        tally.longest = max(tally.longest, time.monotonic() - began)
        if problem:
            tally.failures[problem] += 1
            if connection:
                connection.close()
            connection = None
    if connection:
        connection.close()


async def _exchange(connection: Connection, tally: Tally, number: int, count: int) -> str | None:
    """One request, a POST each second time; what was wrong with its answer."""
    if count % 2:
        answer = await connection.ask("GET", "/whoami")
        if answer.status == 200:
            tally.releases[answer.json["release"]] += 1
            return None
    else:
        body = f"{number}:{count}:".encode() + os.urandom(200).hex().encode()
        tally.posts += 1
        answer = await connection.ask("POST", "/echo", body, Content_Type="text/plain")
        if answer.status == 200:
            return None if answer.body == body else "another body came back"
    return f"status {answer.status}"


async def _websocket(target: Target, tally: Tally) -> None:
    """Sends numbered messages and wants each back (RFC 6455)."""
    try:
        connection = await Connection.open(target)
        key = base64.b64encode(os.urandom(16)).decode()
        handshake = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
        connection.send("GET", "/ws", None, **handshake, Sec_WebSocket_Key=key)
        status, _ = await connection.head()
        if status != 101:
            raise EOFError(f"status {status}")
        while True:
            message = f"message {tally.websocket_messages}".encode()
            mask = os.urandom(4)
            masked = bytes(byte ^ mask[place % 4] for place, byte in enumerate(message))
            connection.writer.write(bytes([0x81, 0x80 | len(message)]) + mask + masked)
            async with asyncio.timeout(10):
                back = await connection.reader.readexactly(2 + len(message))
            if back[2:] != message:
                raise EOFError("another message came back")
            tally.websocket_messages += 1
            await asyncio.sleep(WEBSOCKET_EVERY)
    except (OSError, EOFError, TimeoutError) as error:
        tally.streams.append(f"the WebSocket broke: {error!r}")


async def _events(target: Target, tally: Tally) -> None:
    """Wants numbered events without a gap, all of one release."""
    try:
        connection = await Connection.open(target)
        connection.send("GET", "/events", Accept="text/event-stream")
        await connection.head()
        release = None
        while True:
            async with asyncio.timeout(10):
                line = await connection.reader.readuntil(b"\n")
            if line.startswith(b"data: "):
                event = json.loads(line[6:])
                release = release or event["release"]
                if event["number"] != tally.events + 1 or event["release"] != release:
                    raise EOFError(f"after event {tally.events} came {event}")
                tally.events += 1
    except (OSError, EOFError, TimeoutError) as error:
        tally.streams.append(f"the event stream broke: {error!r}")
