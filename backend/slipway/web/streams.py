"""Server-Sent Events: encoded once, kept alive, ended when the caller may no longer look.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html. Iterators given to `Streams.open` yield
encoded events, and `IDLE` at least every `IDLE_SECONDS`, so that one stream needs no timer of its own.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from litestar import Request
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sse_starlette import EventSourceResponse
from sse_starlette.sse import SendTimeoutError

from slipway.errors import Busy, Invalid, SlipwayError
from slipway.settings import Streams as StreamLimits
from slipway.web.addresses import client_address
from slipway.web.callers import Caller
from slipway.web.context import get_caller, still_allowed

T = TypeVar("T")

IDLE = b": still here\r\n\r\n"
IDLE_SECONDS = 15.0
RECHECK_SECONDS = 60.0
SEND_SECONDS = 30.0
"""A client that takes nothing for this long is let go; it comes back with Last-Event-ID."""
RETRY_SECONDS = 30.0
ALL = "all"
PIECE = 65536
"""Bytes that are sent at a time: what a client does not take waits where it is shared by all, not in its connection."""
MAX_EVENT_ID = 512

Allowed = Callable[[], Awaitable[bool]]


def encode_event(event: str, data: Any, id: str | int | None = None) -> bytes:  # noqa: A002
    """One event; `data` becomes one line of JSON."""
    head = f"event: {event}\r\n" if id is None else f"event: {event}\r\nid: {id}\r\n"
    return head.encode() + b"data: " + msgspec.json.encode(data) + b"\r\n\r\n"


def resume_after(header: str | None) -> int:
    """The number in a Last-Event-ID header, 0 without one. Raises Invalid."""
    if not header:
        return 0
    if not header.isascii() or not header.isdigit() or len(header) > 12:
        raise Invalid("Last-Event-ID must be the id of an event of this stream.", field="Last-Event-ID")
    return int(header)


async def within_idle(step: Awaitable[T]) -> T | None:
    """Wait for a step that may be abandoned and asked for again; None when nothing came in time."""
    try:
        async with asyncio.timeout(IDLE_SECONDS):
            return await step
    except TimeoutError:
        return None


async def pump(batches: AsyncIterator[T]) -> AsyncIterator[T | None]:
    """Go through an iterator that must not be abandoned in mid-step, with None whenever nothing came in time."""
    step = asyncio.ensure_future(anext(batches, _END))
    try:
        while True:
            done, _ = await asyncio.wait((step,), timeout=IDLE_SECONDS)
            if not done:
                yield None
                continue
            found = step.result()
            if found is _END:
                return
            yield found
            step = asyncio.ensure_future(anext(batches, _END))
    finally:
        step.cancel()
        await asyncio.gather(step, return_exceptions=True)
        close = getattr(batches, "aclose", None)
        if close is not None:
            await close()


_END: Any = object()


class Streams:
    """Every open event stream of the daemon, counted: each takes memory and a descriptor for as long as it lasts."""

    def __init__(self, most: StreamLimits) -> None:
        self._most = most
        self._open: Counter[str] = Counter()

    async def refuse_early(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        """A guard, before anybody is looked up: a crowd that gets no stream costs next to nothing. Raises Busy."""
        if not handler.opt.get("stream") or connection.scope.get("slipway_operator") is True:
            return
        if self._open[ALL] >= self._most.at_once:
            raise _too_many()

    def open(self, request: Request[Any, Any, Any], events: AsyncIterator[bytes]) -> ASGIApp:
        """A Litestar return value (annotate the handler `-> ASGIApp`). Raises Busy where there are too many already.

        Whether the caller may look is asked again every minute. The operator's are not counted: the server is his.
        """
        caller = get_caller(request)
        counted = {} if caller.is_operator else self._counted(request, caller)
        for key, most in counted.items():
            if self._open[key] >= most:
                raise _too_many()
        stream = _event_stream(events, still_allowed(request))

        async def counting(scope: Scope, receive: Receive, send: Send) -> None:
            self._open.update(counted.keys())
            try:
                await stream(scope, receive, send)
            finally:
                for key in counted:
                    self._open[key] -= 1
                    if not self._open[key]:
                        del self._open[key]

        return counting

    def _counted(self, request: Request[Any, Any, Any], caller: Caller) -> dict[str, int]:
        return {
            ALL: self._most.at_once,
            f"account {caller.account_id}": self._most.of_account,
            f"address {client_address(request)}": self._most.of_address,
        }


def _too_many() -> Busy:
    words = "Too many event streams are open. Ask for what they would tell now and then instead, and try again later."
    return Busy(words, retry_after=RETRY_SECONDS)


def _event_stream(events: AsyncIterator[bytes], allowed: Allowed) -> ASGIApp:
    response = EventSourceResponse(_while_allowed(events, allowed), ping=0, send_timeout=SEND_SECONDS)

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        open_body = False

        async def watched(message: Message) -> None:
            nonlocal open_body
            await send(message)
            open_body = bool(message.get("more_body", True))

        try:
            await response(scope, receive, watched)  # type: ignore[arg-type]
        except SendTimeoutError:
            return
        if open_body:  # ended from outside, at shutdown: the client gets a whole answer and comes back
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return stream


async def _while_allowed(events: AsyncIterator[bytes], allowed: Allowed) -> AsyncIterator[bytes]:
    check_at = time.monotonic() + RECHECK_SECONDS
    try:
        async for event in events:
            if time.monotonic() >= check_at:
                if not await _is_allowed(allowed):
                    return
                check_at = time.monotonic() + RECHECK_SECONDS
            for start in range(0, len(event), PIECE):
                yield event[start : start + PIECE] if len(event) > PIECE else event
    finally:
        close = getattr(events, "aclose", None)
        if close is not None:
            await close()


async def _is_allowed(allowed: Allowed) -> bool:
    try:
        return await allowed()
    except SlipwayError:
        return False
