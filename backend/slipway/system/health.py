"""Whether everything that Slipway stands on answers."""

import asyncio
from collections.abc import Awaitable

import msgspec

from slipway.db import Database
from slipway.errors import SlipwayError
from slipway.host.client import Host
from slipway.host.protocol import Status as AskStatus
from slipway.settings import Settings

SECONDS = 4.0


class PartHealth(msgspec.Struct, frozen=True):
    """`detail` is a version, or what is wrong and what that means."""

    name: str
    ok: bool
    detail: str
    todo: str = ""


MEANINGS = {
    "database": "Until it answers, nothing can be deployed or changed; apps go on running.",
    "host agent": "Until it answers, nothing can be built, started, stopped or switched; what runs goes on running.",
    "nginx": "Until it answers, nobody reaches the apps or the pages.",
}
SERVICES = {"database": "postgresql", "host agent": "host", "nginx": "nginx"}


async def ask_all(db: Database, host: Host, settings: Settings) -> list[PartHealth]:
    """Ask every part at once; none is waited for longer than SECONDS."""
    return list(
        await asyncio.gather(
            _ask("database", _database(db), settings),
            _ask("host agent", _agent(host), settings),
            _ask("nginx", _nginx(settings), settings),
        )
    )


async def _ask(name: str, question: Awaitable[str], settings: Settings) -> PartHealth:
    try:
        async with asyncio.timeout(SECONDS):
            return PartHealth(name, ok=True, detail=await question)
    except TimeoutError:
        wrong = f"It did not answer within {SECONDS:g} s."
    except SlipwayError as error:
        wrong = error.message
    except OSError as error:
        wrong = f"It does not answer ({error.strerror})." if error.strerror else f"{error}."
    todo = f"{settings.how_to_start}{settings.how_to_know(SERVICES[name])}"
    return PartHealth(name, ok=False, detail=f"{wrong} {MEANINGS[name]}", todo=todo)


async def _database(db: Database) -> str:
    async with db.connection() as connection:
        return f"PostgreSQL {await connection.fetchval('SHOW server_version')}"


async def _agent(host: Host) -> str:
    return (await host.call(AskStatus())).version


async def _nginx(settings: Settings) -> str:
    """Through its own socket, the request that every page takes."""
    reader, writer = await asyncio.open_unix_connection(str(settings.paths.nginx_socket))
    try:
        writer.write(f"GET /api/ping HTTP/1.1\r\nHost: {settings.http.panel}\r\nConnection: close\r\n\r\n".encode())
        head = (await reader.readline()).decode("latin-1").strip()
    finally:
        writer.close()
    if " 200" not in head:
        raise OSError(f"It answered {head[:100]!r} instead of the panel")
    return "serves the panel"
