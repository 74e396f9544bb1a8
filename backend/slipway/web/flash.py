"""What a page after this one has to say: why something was refused, carried there by a cookie.

Only Slipway can write it: apps live on neighbouring names and can set cookies for all of them.
"""

import base64
import binascii
import hashlib
import hmac

from litestar.datastructures import Cookie

from slipway.web.context import Connection, get_session

_COOKIE = "slipway-refusal"
_SECONDS = 60
_MOST_BYTES = 1500
"""A cookie as a whole may have 4096."""


def tell_next(session: str, message: str) -> Cookie:
    """For the next page of this session."""
    text = message.encode()[:_MOST_BYTES]
    value = base64.urlsafe_b64encode(_digest(session, text) + text).decode()
    return Cookie(key=_COOKIE, value=value, path="/", max_age=_SECONDS, httponly=True, samesite="lax")


def told(connection: Connection) -> str:
    """What the page before left; empty where there is nothing, or somebody else wrote it."""
    session, value = get_session(connection), connection.cookies.get(_COOKIE, "")
    if not session or not value:
        return ""
    try:
        content = base64.urlsafe_b64decode(value)
    except (binascii.Error, ValueError):
        return ""
    digest, text = content[: hashlib.sha256().digest_size], content[hashlib.sha256().digest_size :]
    return text.decode(errors="ignore") if hmac.compare_digest(digest, _digest(session, text)) else ""


def forget(connection: Connection) -> list[Cookie]:
    """Once it was shown."""
    return [Cookie(key=_COOKIE, value="", path="/", max_age=0)] if _COOKIE in connection.cookies else []


def _digest(session: str, text: bytes) -> bytes:
    return hmac.digest(session.encode(), b"slipway-refusal" + text, hashlib.sha256)
