"""One small HTTP request to an instance, or to nginx itself: HTTP/1.1 (RFC 9112), the head of the answer only."""

import asyncio
from pathlib import Path

import msgspec

MAX_HEAD = 64 * 1024


class ProbeAnswer(msgspec.Struct, frozen=True):
    status: int
    headers: dict[str, str]
    """By small-letter name; of repeated ones the last."""


class NoAnswer(Exception):
    """Nothing usable came back; the message says what happened."""


async def ask(where: int | Path, path: str, host: str, *, forwarded_proto: str, seconds: float = 5.0) -> ProbeAnswer:
    """GET `path` from a loopback port or a unix socket, with the real Host. Raises NoAnswer."""
    try:
        async with asyncio.timeout(seconds):
            return await _ask(where, path, host, forwarded_proto)
    except TimeoutError as error:
        raise NoAnswer(f"it did not answer within {seconds:g} s") from error
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise NoAnswer(_plainly(error)) from error


async def _ask(where: int | Path, path: str, host: str, forwarded_proto: str) -> ProbeAnswer:
    if isinstance(where, Path):
        reader, writer = await asyncio.open_unix_connection(str(where), limit=MAX_HEAD)
    else:
        reader, writer = await asyncio.open_connection("127.0.0.1", where, limit=MAX_HEAD)
    try:
        writer.write(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: Slipway-Health\r\nAccept: */*\r\n"
            f"X-Forwarded-Proto: {forwarded_proto}\r\nX-Forwarded-For: 127.0.0.1\r\nConnection: close\r\n\r\n".encode()
        )
        await writer.drain()
        head = await reader.readuntil(b"\r\n\r\n")
    finally:
        writer.close()
    lines = head.decode("latin-1").split("\r\n")
    version, _, rest = lines[0].partition(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError("it answered something that is not HTTP")
    headers = {
        name.strip().lower(): value.strip()
        for name, colon, value in (line.partition(":") for line in lines[1:])
        if colon
    }
    return ProbeAnswer(int(rest[:3]), headers)


def _plainly(error: Exception) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "it does not accept connections"
    if isinstance(error, asyncio.IncompleteReadError | ConnectionResetError):
        return "it closed the connection without an answer"
    return str(error) or type(error).__name__
