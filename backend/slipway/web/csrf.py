"""That an unsafe request of a browser comes from one of our own pages.

Two proofs, both needed: the browser says that it was sent from our origin, and it carries a token that only a page
of the same session knows. Requests with an API token and those of the operator carry no cookie, so nobody can make
a browser send them.
"""

import base64
import hashlib
import hmac
from typing import Any
from urllib.parse import urlsplit

from litestar.connection import ASGIConnection, Request

from slipway.errors import Forbidden

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
FIELD = "csrf_token"
HEADER = "x-csrf-token"


class NotOurPage(Forbidden):
    """A request of a browser that no page of this session sent."""


def token_for(session: str) -> str:
    """The token of a session: it follows from the cookie, and does not tell it."""
    digest = hmac.digest(session.encode(), b"slipway-csrf", hashlib.sha256)
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def check_origin(connection: ASGIConnection[Any, Any, Any, Any], origin: str) -> None:
    """Raises Forbidden unless the request was sent by a page of exactly `origin` (scheme, host and port)."""
    headers = connection.headers
    sent = headers.get("origin")
    if sent is not None:
        if sent != origin:
            raise NotOurPage(f"This request was sent from {sent[:200]}, not from {origin}. Nothing was done.")
        return
    referrer = urlsplit(headers.get("referer", ""))
    if headers.get("sec-fetch-site") == "same-origin" and f"{referrer.scheme}://{referrer.netloc}" == origin:
        return
    raise NotOurPage("This request does not say which page sent it (no Origin). Nothing was done.")


async def check_token(connection: ASGIConnection[Any, Any, Any, Any], session: str) -> None:
    """Raises Forbidden unless the request carries the session's token, in the header or as a form field."""
    given = connection.headers.get(HEADER)
    if given is None and isinstance(connection, Request):
        field = (await connection.form()).get(FIELD)
        given = field if isinstance(field, str) else None
    if not given or not hmac.compare_digest(given.encode(), token_for(session).encode()):
        raise NotOurPage(
            "Nothing was done: the page was opened before you signed in again. Go back to it, copy what you typed, "
            "reload it and try again."
        )
