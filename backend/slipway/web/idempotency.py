"""`Idempotency-Key`: a creating request that is sent twice is done once.

After draft-ietf-httpapi-idempotency-key-header: the same key with the same request gets the first answer again,
with another request 422, while the first is under way 409. What was refused may be tried again with the same key.
The key is taken before the work begins, and stays taken where the work's end could not be recorded, because the daemon
or the database died in between or something failed within: whether it was done is for a person to look at, never to be
done once more by itself. A route takes part by `idempotent=True`.
"""

import hashlib
import re
from typing import Any
from weakref import WeakSet

import structlog
from litestar import Request, Response
from litestar.types import Message, Scope

from slipway.db import Database
from slipway.errors import Conflict, Invalid, Unavailable
from slipway.web import store
from slipway.web.context import get_caller

_KEY = re.compile(r"[!-~]{1,255}\Z")
_HELD = "slipway_idempotency"
log = structlog.get_logger("slipway.web")


UNDER_WAY = "The first request with this Idempotency-Key is still under way. Ask again in a moment."
UNKNOWN_END = (
    "How the first request with this Idempotency-Key ended could not be recorded: it may have been done. "
    "Look whether it was; if not, send it again with a new key."
)


class _Held:
    """A key that this request holds or asks for, and its answer so far."""

    def __init__(self, account_id: int, key: str) -> None:
        self.account_id = account_id
        self.key = key
        self.status = 500
        self.body = bytearray()


class Idempotency:
    """Two hooks of the application: one before a handler, one on the way of its answer."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._held: WeakSet[_Held] = WeakSet()
        """Of the requests that are under way in this process, the only one that answers requests."""

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
        # Asked before and after: the first request may end between the look at its row and the answer to this one.
        under_way = self._is_held(account_id, key)
        held = _Held(account_id, key)
        self._held.add(held)
        try:
            async with self._db.connection() as connection:
                kept = await store.claim_key(connection, account_id, key, digest)
        except BaseException:
            self._held.discard(held)
            raise
        if kept is None:
            request.scope["state"][_HELD] = held
            return None
        self._held.discard(held)
        if kept.request_hash != digest:
            raise Invalid("This Idempotency-Key was used for another request. Use a new one.", field="Idempotency-Key")
        if kept.status is None:
            under_way = under_way or self._is_held(account_id, key)
            raise Conflict(UNDER_WAY if under_way else UNKNOWN_END)
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

    def _is_held(self, account_id: int, key: str) -> bool:
        return any((held.account_id, held.key) == (account_id, key) for held in self._held)

    async def _settle(self, held: _Held) -> None:
        try:
            async with self._db.connection() as connection:
                if held.status < 400:
                    await store.keep_answer(connection, held.account_id, held.key, held.status, bytes(held.body))
                elif held.status < 500:  # refused before anything was done
                    await store.release_key(connection, held.account_id, held.key)
        except Unavailable as error:
            # What was done is done, and its answer is the client's; the key alone is spent.
            log.warning("the answer to an Idempotency-Key is not kept", status=held.status, error=error.message)
        finally:
            self._held.discard(held)


def _request_hash(request: Request[Any, Any, Any], body: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in (request.method.encode(), request.scope["path"].encode(), request.scope["query_string"], body):
        digest.update(len(part).to_bytes(8, "big") + part)
    return digest.digest()
