"""A small HTTP/1.1 client that hides nothing: it never retries, and says where an exchange broke."""

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 30.0
LARGEST_LINE = 4 * 1024 * 1024


@dataclass(frozen=True)
class Target:
    """Where requests go: a TCP port with or without TLS, or a unix socket; and under which name."""

    host: str
    port: int = 0
    tls: ssl.SSLContext | None = None
    socket: Path | None = None

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}" if self.port else self.host


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Connection:
    """One connection; not for several requests at once."""

    def __init__(self, target: Target, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.target, self.reader, self.writer = target, reader, writer
        self.is_last = False
        """The server said that it closes after this answer."""

    @classmethod
    async def open(cls, target: Target) -> "Connection":
        async with asyncio.timeout(SECONDS):
            if target.socket is not None:
                streams = await asyncio.open_unix_connection(str(target.socket), limit=LARGEST_LINE)
            else:
                name = target.host if target.tls else None
                streams = await asyncio.open_connection(
                    "127.0.0.1", target.port, ssl=target.tls, server_hostname=name, limit=LARGEST_LINE
                )
        return cls(target, *streams)

    async def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Raises OSError, EOFError or TimeoutError where the exchange broke."""
        async with asyncio.timeout(SECONDS):
            self.send(method, path, body, **headers)
            status, given = await self.head()
            if given.get("transfer-encoding") == "chunked":
                content = await self._chunks()
            else:
                content = await self.reader.readexactly(int(given.get("content-length", 0)))
        return Answer(status, given, content)

    def send(self, method: str, path: str, body: bytes | None = None, **headers: str) -> None:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.target.authority}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + (body or b""))

    async def head(self) -> tuple[int, dict[str, str]]:
        text = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = text.rstrip().split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        self.is_last = headers.get("connection", "").lower() == "close"
        return int(first.split()[1]), headers

    async def _chunks(self) -> bytes:
        content = b""
        while size := int(await self.reader.readline(), 16):
            content += await self.reader.readexactly(size)
            await self.reader.readexactly(2)
        await self.reader.readexactly(2)
        return content

    def close(self) -> None:
        self.writer.close()


@asynccontextmanager
async def connected(target: Target) -> AsyncIterator[Connection]:
    connection = await Connection.open(target)
    try:
        yield connection
    finally:
        connection.close()
