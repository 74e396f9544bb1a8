"""The box that is measured: a whole installation over TLS, with examples/hello live in it."""

import shutil
import ssl
import subprocess
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from slipway import settings as installed
from slipway.host.client import Host
from slipway.setup import files
from tests.benchmarks.wire import Connection, Target, connected
from tests.integration.conftest import CHECKOUT, Box, fresh_box, run

STREAMS_AT_ONCE = 2500
APP = "hello"
ENVIRONMENT = f"/api/apps/{APP}/environments/production"


class BenchBox:
    """The installation, and the shortest ways to what is asked of it."""

    def __init__(self, box: Box) -> None:
        self.box = box
        self.settings = tomllib.loads((box.state / "etc/slipway/slipway.toml").read_text())
        self.host = Host(box.state / "run/slipway/host.sock")
        self.admin = Target("localhost", socket=box.state / "run/slipway/admin.sock")
        self.web = Target(f"localhost:{box.port}", socket=box.state / "run/slipway/web.sock")

    @property
    def certificate(self) -> Path:
        return self.box.state / "etc/slipway/tls/certificate.pem"

    @property
    def trust(self) -> ssl.SSLContext:
        """This certificate and no other. Its wildcard under `localhost` is one that TLS libraries do not match."""
        context = ssl.create_default_context(cafile=self.certificate)
        context.check_hostname = False
        return context

    @property
    def app(self) -> Target:
        return Target(f"{APP}.localhost", self.box.port, self.trust)

    @property
    def repository(self) -> Path:
        return self.box.state / "srv/slipway/repositories" / APP

    async def api(self, method: str, path: str, body: bytes | None = None) -> Any:
        """As the operator. Raises RuntimeError with what the panel said."""
        async with connected(self.admin) as connection:
            headers = {"Content_Type": "application/json"} if body is not None else {}
            answer = await connection.ask(method, path, body, **headers)
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {answer.body.decode()}")
        return answer.json if answer.body else None

    async def events(self, path: str, target: Target | None = None, **headers: str) -> "EventStream":
        connection = await Connection.open(target or self.admin)
        connection.send("GET", path, None, Accept="text/event-stream", **headers)
        status, _ = await connection.head()
        if status != 200:
            raise RuntimeError(f"GET {path}: {status}")
        return EventStream(connection)

    async def until_ended(self, deployment: int) -> Any:
        """The deployment, once it is live (or failed), and its phases."""
        path = f"/api/apps/{APP}/deployments/{deployment}"
        stream = await self.events(f"{path}/log/stream")
        try:
            while "end" not in await stream.next():
                pass
        finally:
            stream.connection.close()
        found = await self.api("GET", path)
        if found["deployment"]["state"] != "live":
            raise RuntimeError(f"deployment {deployment} is {found['deployment']}")
        return found

    async def deploy(self) -> Any:
        started = await self.api("POST", f"{ENVIRONMENT}/deployments", b"{}")
        return await self.until_ended(started["id"])

    def commit(self, name: str = "change") -> None:
        """A new commit in the app's repository."""
        (self.repository / name).write_text(f"{time.time_ns()}\n")
        git = ["git", "-C", str(self.repository), "-c", "user.name=Bench", "-c", "user.email=bench@localhost"]
        subprocess.run([*git, "add", "--all"], check=True)
        subprocess.run([*git, "commit", "--quiet", "--message=Change"], check=True)

    def allow_one_account_all_streams(self) -> None:
        """Benchmarks' clients are all of one account and one address."""
        file = self.box.state / "etc/slipway/slipway.toml"
        allowed = installed.Streams(at_once=STREAMS_AT_ONCE, of_account=20_000, of_address=20_000)
        files.write_settings(file, msgspec.structs.replace(installed.load(file), streams=allowed))
        own = f"slipway-{self.settings['installation']['id']}"
        self.box.systemctl("restart", f"{own}-daemon.service")

    def processes(self) -> dict[str, list[int]]:
        """Part of Slipway → its processes, children too."""
        return {
            part: _family(int(self._show(f"slipway-{self.settings['installation']['id']}-{part}.service", "MainPID")))
            for part in ("daemon", "host", "postgresql", "nginx")
        }

    def _show(self, unit: str, name: str) -> str:
        return self.box.systemctl("show", unit, f"--property={name}", "--value").stdout.strip()


class EventStream:
    """Server-Sent Events of a connection, as raw blocks."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._text = ""

    async def next(self) -> str:
        """The next block; its kind stands in `event: …`. Raises EOFError when the stream broke."""
        while "\r\n\r\n" not in self._text:
            size = int(await self.connection.reader.readline() or b"0", 16)
            if size == 0:
                raise EOFError("the stream ended")
            self._text += (await self.connection.reader.readexactly(size)).decode()
            await self.connection.reader.readexactly(2)
        block, _, self._text = self._text.partition("\r\n\r\n")
        if block.startswith("event: end"):
            return "end"
        return block if block.startswith("event: ") else ""


def _family(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in children for one in _family(int(child)))]


@contextmanager
def bench_box(prepare: Callable[[Path, int], None] | None = None) -> Iterator[BenchBox]:
    """`prepare(state, port)` may write settings before anything is there."""
    box = fresh_box()
    try:
        if prepare is not None:
            prepare(box.state, box.port)
        install = [str(CHECKOUT / "install.sh"), "--try", "--state", str(box.state), "--port", str(box.port), "--tls"]
        ended = run(*install, timeout=900)
        if ended.returncode != 0:
            raise RuntimeError(f"the box did not start:\n{ended.stdout}{ended.stderr}")
        bench = BenchBox(box)
        bench.allow_one_account_all_streams()
        yield bench
    finally:
        if (box.state / "bin/slipway").exists():
            box.slipway("down", timeout=600)
        shutil.rmtree(box.state)
