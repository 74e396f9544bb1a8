"""`Idempotency-Key`: a creating request that is sent twice is done once.

After draft-ietf-httpapi-idempotency-key-header: the same key with the same request gets the first answer again,
with another request 422, while the first is under way 409. Only success is kept: what was refused may be tried again
with the same key. A route takes part by `idempotent=True`.
"""

import hashlib
import re
from typing import Any

from litestar import Request, Response
from litestar.types import Message, Scope

from slipway.db import Database
from slipway.errors import Conflict, Invalid
from slipway.web import store
from slipway.web.context import get_caller

_KEY = re.compile(r"[!-~]{1,255}\Z")
_HELD = "slipway_idempotency"


class _Held:
    """A key that this request holds, and its answer so far."""

    def __init__(self, account_id: int, key: str) -> None:
        self.account_id = account_id
        self.key = key
        self.status = 500
        self.body = bytearray()


class Idempotency:
    """Two hooks of the application: one before a handler, one on the way of its answer."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def before_request(self, request: Request[Any, Any, Any]) -> Response[bytes] | None:
        """Take the key, or give the kept answer instead of calling the handler."""
        key = request.headers.get("idempotency-key")
        if key is None or not request.route_handler.opt.get("idempotent"):
            return None
        if not _KEY.match(key):
            raise Invalid(
                "An Idempotency-Key has 1 to 255 printable characters without spaces.", field="Idempotency-Key"
            )
        account_id = get_caller(request).account_id or 0
        digest = _request_hash(request, await request.body())
        async with self._db.connection() as connection:
            kept = await store.claim_key(connection, account_id, key, digest)
        if kept is None:
            request.scope["state"][_HELD] = _Held(account_id, key)
            return None
        if kept.request_hash != digest:
            raise Invalid("This Idempotency-Key was used for another request. Use a new one.", field="Idempotency-Key")
        if kept.status is None:
            raise Conflict("The first request with this Idempotency-Key is still under way. Ask again in a moment.")
        return Response(
            kept.body or b"",
            status_code=kept.status,
            media_type="application/json",
            headers={"idempotency-replayed": "true"},
        )

    async def before_send(self, message: Message, scope: Scope) -> None:
        """Keep the answer before the client gets it: who has seen it can rely on it."""
        held = scope.get("state", {}).get(_HELD)
        if held is None:
            return
        if message["type"] == "http.response.start":
            held.status = message["status"]
        elif message["type"] == "http.response.body":
            held.body += message.get("body", b"")
            if not message.get("more_body", False):
                del scope["state"][_HELD]
                await self._settle(held)

    async def _settle(self, held: _Held) -> None:
        async with self._db.connection() as connection:
            if held.status < 400:
                await store.keep_answer(connection, held.account_id, held.key, held.status, bytes(held.body))
            else:
                await store.release_key(connection, held.account_id, held.key)


def _request_hash(request: Request[Any, Any, Any], body: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.scope["path"].encode(), request.scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
