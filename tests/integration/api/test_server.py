"""The server on inherited sockets: a restart loses no request."""

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from tests.integration.api.conftest import Panel
from tests.integration.api.test_streams import queued

from slipway.deployments.runner import WAITING
from slipway.host import client
from slipway.web.server import bind_socket

BACKEND = Path(__file__).parents[3] / "backend"
DAEMON = """
import asyncio
from slipway.settings import Http, Installation, Mode, Settings
from slipway.web.server import serve

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["path"] == "/slow":
        await asyncio.sleep(1)
    operator = b"operator" if scope["slipway_operator"] else b"anyone"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(operator))]})
    await send({"type": "http.response.body", "body": operator})

asyncio.run(serve(application, Settings(Installation("test", Mode.LOCAL), Http(8080))))
"""
# systemd's part: the sockets become 3 and 4, and LISTEN_PID the number of the process that gets them.
START = 'exec 3<&"$1" 4<&"$2"; shift 2; LISTEN_PID=$$ exec "$@"'


READY = b"READY=1\nSTATUS=Serving"


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.02)


Start = Callable[[socket.socket, socket.socket, str], Awaitable[Process]]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Start a daemon; one that a failed test leaves is ended."""
    started: list[Process] = []

    async def one(web: socket.socket, admin: socket.socket, notify: str) -> Process:
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(BACKEND), "NOTIFY_SOCKET": notify,
            "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin", "WATCHDOG_USEC": "400000",
        }  # fmt: skip
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", START, "bash", str(web.fileno()), str(admin.fileno()), sys.executable, "-c", DAEMON,
            env=environment, pass_fds=(web.fileno(), admin.fileno()),
        )  # fmt: skip
        started.append(process)
        return process

    yield one
    for process in started:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def ask(path: Path, target: str = "/") -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_restart_loses_no_request_and_answers_those_on_their_way(tmp_path: Path, start: Start) -> None:
    web_path, admin_path, notify_path = (tmp_path / name for name in ("web", "admin", "notify"))
    web, admin = bind_socket(web_path, 0o660), bind_socket(admin_path, 0o600)
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(notify_path))
    told.setblocking(False)
    assert (web_path.stat().st_mode & 0o777, admin_path.stat().st_mode & 0o777) == (0o660, 0o600)
    states: list[bytes] = []
    asyncio.get_running_loop().add_reader(told, lambda: states.append(told.recv(1000)))
    daemon = await start(web, admin, str(notify_path))
    answered, stop = 0, asyncio.Event()

    async def keep_asking() -> None:
        nonlocal answered
        reader = writer = None
        while not stop.is_set():
            if writer is None:
                reader, writer = await asyncio.open_unix_connection(str(web_path))
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert reader is not None
            head = await reader.readuntil(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 200"), head
            assert await reader.readexactly(6) == b"anyone"
            answered += 1
            if b"connection: close" in head.lower():
                writer.close()
                writer = None
        if writer is not None:
            writer.close()

    clients = [asyncio.create_task(keep_asking()) for _ in range(8)]
    for served in range(3):
        # Before, it has not said yet what it does at a SIGTERM.
        await until(lambda served=served: states.count(READY) > served)
        before = answered
        await until(lambda before=before: answered > before + 50)
        slow = asyncio.create_task(ask(web_path, "/slow"))
        await asyncio.sleep(0.2)
        daemon.send_signal(signal.SIGTERM)
        successor = await start(web, admin, str(notify_path))
        assert (await slow).endswith(b"anyone"), "a request on its way is answered"
        assert await asyncio.wait_for(daemon.wait(), 30) == 0
        daemon = successor
    assert (await ask(admin_path)).endswith(b"operator")
    stop.set()
    await asyncio.gather(*clients)
    assert answered > 100
    daemon.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(daemon.wait(), 30) == 0
    asyncio.get_running_loop().remove_reader(told)
    assert states.count(READY) == 4
    assert b"WATCHDOG=1" in states
    assert sum(state.startswith(b"STOPPING=1") for state in states) == 4
    for one in (web, admin, told):
        one.close()


async def test_while_the_database_is_away_a_deployment_under_way_does_not_hold_up_the_end(cast: Panel) -> None:
    """systemd would kill the daemon in the midst of its putting things away."""
    runner = cast.slipway.runner
    await queued(cast)
    await runner._begin_queued()
    (under_way,) = runner._running.values()
    cast.slipway.db._dsn = "postgresql:///nothing?host=/nonexistent"
    await cast.slipway.db.close()
    async with asyncio.timeout(10):
        await runner.stop()
    assert under_way.cancelled()


async def test_what_is_asked_for_while_the_daemon_waits_for_the_host_agent_itself_says_so_in_its_log_once(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "CONNECT_SECONDS", 0)
    number = await queued(cast)
    for _ in range(2):
        with pytest.raises(client.HostAway):
            await cast.slipway.runner._take_up()
    await cast.slipway.logs.flushed()
    lines = await cast.slipway.logs.last_deployment_lines(number, 10)
    assert [line.text for line in lines if line.text.startswith("Waiting")] == [WAITING]
