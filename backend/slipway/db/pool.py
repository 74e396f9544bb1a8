"""One small pool of connections, and one place where a missing PostgreSQL becomes a plain sentence."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
import msgspec

from slipway.errors import Unavailable

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

LOST = (
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InterfaceError,
    # A connection that was told of the shutdown while nothing was asked, and is used before it is closed.
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises when the server is away, starting, or going."""


async def _prepare(connection: Connection) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name,
            schema="pg_catalog",
            encoder=lambda value: msgspec.json.encode(value).decode(),
            decoder=msgspec.json.decode,
        )


class Database:
    """A pool that opens its first connection when it is first used, and outlives a restart of PostgreSQL."""

    def __init__(self, dsn: str, *, size: int = 6) -> None:
        """`dsn` is libpq's URL or key-value form; `size` the most connections, each about 2 MB in PostgreSQL."""
        self._dsn = dsn
        self._size = size
        self._pool: Any = None

    async def open(self) -> None:
        """Connect. Raises Unavailable where PostgreSQL does not answer."""
        with _plainly():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                init=_prepare,
                command_timeout=30,
                timeout=10,
                max_inactive_connection_lifetime=300,
            )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()
            self._pool = None

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection for single statements. Raises Unavailable when the server is away."""
        if self._pool is None:
            await self.open()
        with _plainly():
            async with self._pool.acquire() as connection:
                yield connection

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Connection]:
        """A connection inside one transaction: all of it happens, or nothing."""
        async with self.connection() as connection, connection.transaction():
            yield connection


class _plainly:
    """Turn asyncpg's many ways to say that the server is away into Unavailable."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, LOST) and not isinstance(error, Unavailable):
            raise Unavailable("The database does not answer. Slipway goes on by itself when it is back.") from error
