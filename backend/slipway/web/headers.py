"""The outermost layer: only our own names are answered, and every answer carries the security headers."""

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Message, Receive, Scope, Send

from slipway.settings import Settings

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_WRONG_HOST = (
    b'{"type":"/api/docs#problem-wrong-host","title":"Wrong host","status":421,"code":"wrong-host",'
    b'"detail":"Slipway is not reached under this name. Use the address that `slipway status` prints."}'
)


def security_headers() -> dict[bytes, bytes]:
    return {
        b"content-security-policy": CONTENT_SECURITY_POLICY.encode(),
        b"x-content-type-options": b"nosniff",
        b"x-frame-options": b"DENY",
        b"referrer-policy": b"same-origin",
        b"cross-origin-opener-policy": b"same-origin",
        b"cross-origin-resource-policy": b"same-origin",
        b"permissions-policy": b"camera=(), geolocation=(), microphone=()",
    }


class Frontier:
    """ASGI middleware around everything, Litestar's own error answers included."""

    def __init__(self, inner: ASGIApp, settings: Settings, promise_seconds: Callable[[], int]) -> None:
        """`promise_seconds`: for how long browsers may insist on TLS (HSTS, RFC 6797); 0 says nothing of it."""
        self._inner = inner
        self._headers = security_headers()
        self._promise_seconds = promise_seconds
        panel = settings.http.panel
        self._names = {panel.encode(), f"{panel}:{settings.http.port}".encode()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self._inner(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                added = [(name, value) for name, value in self._headers.items() if name not in present]
                if promised := self._promise_seconds():
                    added.append((b"strict-transport-security", f"max-age={promised}".encode()))
                if b"cache-control" not in present:
                    added.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *added]
            await send(message)

        if scope.get("slipway_operator") is not True and not self._is_ours(scope):
            # A page whose name was rebound to this machine has its own name in Host (DNS rebinding).
            await _answer(send_with_headers, 421, _WRONG_HOST)
            return
        await self._inner(scope, receive, send_with_headers)

    def _is_ours(self, scope: Scope) -> bool:
        hosts = [value.lower() for name, value in scope["headers"] if name.lower() == b"host"]
        return len(hosts) == 1 and hosts[0] in self._names


async def _answer(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})
