"""The host agent: the one program of Slipway that is root. `slipway host` ends up in `main`."""

import asyncio
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import structlog

from slipway import settings as installed
from slipway.errors import SlipwayError
from slipway.settings import Mode, Settings

FIRST_PASSED_DESCRIPTOR = 3
"""sd_listen_fds(3)."""
SOCKET_MODE = 0o660
READ_AHEAD = 32768
"""Bytes of a connection that are taken in, twice over, before anybody asks for them."""

log = structlog.get_logger()


def main() -> int:
    """Serve until SIGTERM. → exit status."""
    _log_as_json()
    try:
        settings = installed.load()
        asyncio.run(_serve(settings))
    except SlipwayError as error:
        print(f"slipway host: {error.message}", file=sys.stderr)
        return 1
    return 0


async def _serve(settings: Settings) -> None:
    from pystemd import daemon

    from slipway.host.agent import owners, removal, trash
    from slipway.host.agent.box import DAEMON_USER, Box
    from slipway.host.agent.changes import Changes
    from slipway.host.agent.server import Server, daemon_uids
    from slipway.host.agent.systemd import Systemd
    from slipway.host.agent.units import unit_folder

    loop = asyncio.get_running_loop()
    systemd = Systemd(user_mode=settings.mode is not Mode.SERVER)
    systemd.open(loop)
    box = Box(settings, systemd, unit_folder(settings.mode, Path(os.environ.get("XDG_RUNTIME_DIR", "/run"))))
    box.make_folders()
    box.sweep()
    trash.forget_builds_that_are_gone(box)
    changes = Changes(box)
    server = Server(box, changes, lambda: daemon_uids(box))
    listening = _inherited_socket() or _bind(settings.paths.host_socket, box.group(DAEMON_USER))

    def connection() -> asyncio.StreamReaderProtocol:
        return asyncio.StreamReaderProtocol(asyncio.StreamReader(limit=READ_AHEAD, loop=loop), server.serve, loop=loop)

    # Not start_unix_server: from Python 3.13 on it takes the socket's file away at its end, and that is systemd's.
    listener = await loop.create_server(connection, sock=listening)
    background = [
        asyncio.create_task(changes.follow_exits()),
        asyncio.create_task(removal.finish(box)),
        asyncio.create_task(_feed_watchdog()),
        asyncio.create_task(owners.put_at_start(box)),
    ]
    for task in background:
        task.add_done_callback(_end_with)
    daemon.notify(False, ready=1)
    log.info("ready", installation=settings.id, mode=settings.mode.value)
    await _end_signal(loop)
    listener.close()  # and not wait_closed(): from Python 3.12 on that waits for whoever watches, who stays
    for task in background:
        task.cancel()
    await asyncio.gather(*background, return_exceptions=True)


async def _feed_watchdog() -> None:
    """Tell systemd that this loop turns, twice in each interval that it asks for."""
    from pystemd import daemon

    microseconds = int(os.environ.get("WATCHDOG_USEC", "0"))
    while True:
        if microseconds:
            daemon.notify(False, watchdog=1)
        await asyncio.sleep(microseconds / 2_000_000 or 3600)


def _inherited_socket() -> socket.socket | None:
    """The socket that systemd listens on for us: nothing is lost while the agent restarts."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()) or os.environ.get("LISTEN_FDS") != "1":
        return None
    return socket.socket(fileno=FIRST_PASSED_DESCRIPTOR)


def _bind(path: Path, group: int) -> socket.socket:
    path.unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listening.bind(str(path))
    os.chown(path, -1, group)
    path.chmod(SOCKET_MODE)
    listening.listen(128)
    return listening


def _end_with(task: asyncio.Task[None]) -> None:
    """A fault in what runs beside the socket ends the agent: systemd starts a whole one."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task failed", error=repr(error))
        signal.raise_signal(signal.SIGTERM)


async def _end_signal(loop: asyncio.AbstractEventLoop) -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    await asked.wait()


def _log_as_json() -> None:
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
