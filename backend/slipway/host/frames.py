"""Frames on the agent's socket: a four-byte big-endian length, then that many bytes of JSON."""

import asyncio
from typing import TypeVar

import msgspec

from slipway.errors import Invalid
from slipway.host.protocol import MAX_FRAME

LENGTH_BYTES = 4

T = TypeVar("T")


def frame(message: msgspec.Struct) -> bytes:
    """A message as it goes over the wire. Raises Invalid when it is larger than the other side would read."""
    body = msgspec.json.encode(message)
    if len(body) > MAX_FRAME:
        raise Invalid(f"a message to or from the host agent would be {len(body)} bytes; at most {MAX_FRAME} go through")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The body of the next frame. Raises asyncio.IncompleteReadError at the end, Invalid when it is too large."""
    return await read_body(reader, await read_length(reader))


async def read_length(reader: asyncio.StreamReader) -> int:
    """Of the next frame, to be followed by `read_body`. Raises as `read_frame`."""
    length = int.from_bytes(await reader.readexactly(LENGTH_BYTES), "big")
    if length > MAX_FRAME:
        raise Invalid(f"a frame of {length} bytes is announced; at most {MAX_FRAME} are read")
    return length


async def read_body(reader: asyncio.StreamReader, length: int) -> bytes:
    return await reader.readexactly(length)
