"""Where a request comes from."""

from typing import Any

from litestar.connection import ASGIConnection


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The client's address as nginx saw it.

    nginx overwrites X-Forwarded-For; of several values only the last can be nginx's own, so whatever a client
    puts before it is never believed.
    """
    forwarded = connection.headers.getall("x-forwarded-for", [])
    if forwarded:
        return forwarded[-1].rpartition(",")[2].strip()[:64]
    client = connection.scope.get("client")
    return client[0] if client else "local"
