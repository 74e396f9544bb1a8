"""uvicorn on the two sockets of the daemon, without losing a request when it restarts.

nginx reaches the *web* socket, root's command line the *admin* socket. systemd listens on both and hands them over
(sd_listen_fds(3)), so that whoever comes during a restart waits instead of being refused.
"""

import asyncio
import gc
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType

import structlog
import uvicorn
from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from slipway.errors import Invalid
from slipway.settings import Settings

FIRST_INHERITED = 3
WEB, ADMIN = "web", "admin"
DRAIN_SECONDS = 0.25
"""While it lasts, answers tell nginx to close its kept-alive connections: none is cut with a request on its way."""
GRACE_SECONDS = 20
TICK_SECONDS = 1
"""How often what each answer's `Date` says is made anew."""

log = structlog.get_logger("slipway.web")


def inherited_sockets(environment: Mapping[str, str], pid: int) -> dict[str, socket.socket]:
    """The sockets that systemd handed over, by name; none when this process was started by hand."""
    if environment.get("LISTEN_PID") != str(pid):
        return {}
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    count = int(environment.get("LISTEN_FDS", "0"))
    if len(names) != count:
        raise Invalid(f"systemd handed over {count} sockets with the names {names}; FileDescriptorName= must be set.")
    return {name: socket.socket(fileno=FIRST_INHERITED + index) for index, name in enumerate(names)}


def bind_socket(path: Path, mode: int) -> socket.socket:
    """Listen on a unix socket of our own, where systemd did not."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    umask = os.umask(0o777 & ~mode)
    try:
        listener.bind(str(path))
    finally:
        os.umask(umask)
    listener.listen(1024)
    return listener


def notify(state: str) -> None:
    """sd_notify(3); nothing where systemd does not listen."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as to_systemd:
        to_systemd.setblocking(False)  # a systemd that does not read must not stop the loop
        try:
            to_systemd.connect("\0" + address[1:] if address.startswith("@") else address)
            to_systemd.send(state.encode())
        except OSError as error:
            log.warning("systemd takes no notification", state=state, error=str(error))


class _Marked:
    """Tells the application by which socket a request came. Nothing in a request can say so."""

    def __init__(self, application: ASGIApp, operator: bool) -> None:
        self._application = application
        self._operator = operator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP:
            scope["slipway_operator"] = self._operator  # type: ignore[typeddict-unknown-key]
        await self._application(scope, receive, send)


class Server(uvicorn.Server):
    """One server, two sockets, one state: connections of both are drained together."""

    def __init__(self, application: ASGIApp, web: socket.socket, admin: socket.socket) -> None:
        super().__init__(_config(_Marked(application, operator=False)))
        self._admin_config = _config(_Marked(application, operator=True))
        self._web, self._admin = web, admin
        self._watchdog: asyncio.Task[None] | None = None
        self._leaving = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def main_loop(self) -> None:
        """As uvicorn's, which looks ten times a second whether it should end: an idle daemon sleeps, and is told."""
        while not await self.on_tick(0):
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK_SECONDS):
                    await self._leaving.wait()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._leaving.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=[self._web])
        self._admin_config.load()

        def create_protocol() -> asyncio.Protocol:
            return self._admin_config.http_protocol_class(  # type: ignore[call-arg]
                config=self._admin_config, server_state=self.server_state, app_state=self.lifespan.state
            )

        self._loop = loop = asyncio.get_running_loop()
        self.servers.append(await loop.create_server(create_protocol, sock=self._admin, backlog=1024))
        # What lives now lives for ever: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
        self._watchdog = asyncio.create_task(_feed_watchdog())
        notify("READY=1\nSTATUS=Serving")
        log.info("serving")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1\nSTATUS=Finishing requests")
        for server in self.servers:
            server.close()
        self.server_state.default_headers = [*self.server_state.default_headers, (b"connection", b"close")]
        await asyncio.sleep(DRAIN_SECONDS)
        await super().shutdown(sockets=sockets)
        if self._watchdog is not None:
            self._watchdog.cancel()
        # uvicorn would raise the signal again and end the process before its caller has put things away.
        self._captured_signals.clear()


async def serve(application: ASGIApp, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; returns when every request is answered, or after GRACE_SECONDS."""
    inherited = inherited_sockets(os.environ, os.getpid())
    web = inherited.get(WEB) or bind_socket(settings.paths.web_socket, 0o660)
    admin = inherited.get(ADMIN) or bind_socket(settings.paths.admin_socket, 0o600)
    await Server(application, web, admin).serve()


def _config(application: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        application,
        lifespan="on",
        http="h11",
        ws="none",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
        h11_max_incomplete_event_size=64 * 1024,
        backlog=1024,
    )


async def _feed_watchdog() -> None:
    """Tell systemd that this loop turns, twice in each interval that it asks for."""
    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while microseconds:
        notify("WATCHDOG=1")
        await asyncio.sleep(microseconds / 2_000_000)
