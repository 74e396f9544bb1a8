"""What the gate found out about a request, for whoever handles it."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

from litestar.connection import ASGIConnection

from slipway.errors import NotFound, Unauthenticated
from slipway.web.callers import Caller
from slipway.web.csrf import token_for

Connection = ASGIConnection[Any, Any, Any, Any]

_CALLER = "slipway_caller"
_APP = "slipway_app"
_SESSION = "slipway_session"
_ALLOWED = "slipway_allowed"
Allowed = Callable[[], Awaitable[bool]]


def remember(connection: Connection, caller: Caller | None, session: str | None, allowed: Allowed) -> None:
    """Called once per request, by the gate. `session` is the cookie's value where the caller came with one."""
    state = connection.scope["state"]
    state[_CALLER], state[_SESSION], state[_ALLOWED] = caller, session, allowed


def remember_app(connection: Connection, app: Any) -> None:
    """Called by the gate, where the path names an app that the caller may see."""
    connection.scope["state"][_APP] = app


def still_allowed(connection: Connection) -> Allowed:
    """For streams: asks again whether this request would be let through."""
    return cast("Allowed", connection.scope["state"][_ALLOWED])


def get_session(connection: Connection) -> str | None:
    """The session cookie's value, where that is how the caller is known."""
    return cast("str | None", connection.scope["state"].get(_SESSION))


def find_caller(connection: Connection) -> Caller | None:
    """The caller, on routes that everyone may use."""
    return cast("Caller | None", connection.scope["state"].get(_CALLER))


def get_caller(connection: Connection) -> Caller:
    """The caller. Raises Unauthenticated where there is none."""
    caller = find_caller(connection)
    if caller is None:
        raise Unauthenticated("Sign in first.")
    return caller


def get_app(connection: Connection) -> Any:
    """The app whose name stands in the path. The gate has checked that the caller may see it."""
    app = connection.scope["state"].get(_APP)
    if app is None:
        raise NotFound("There is no such app.")
    return app


def csrf_token(connection: Connection) -> str:
    """What a form of this session must carry; empty where nobody is signed in."""
    session = get_session(connection)
    return token_for(session) if session else ""
