"""A box: one whole installation of Slipway in local mode, with a real systemd, nginx and PostgreSQL."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
PARTS = CHECKOUT / ".slipway-parts"
"""Python and JavaScript packages, made once for all boxes."""


@dataclass(frozen=True)
class Box:
    state: Path
    port: int

    def url(self, hostname: str = "localhost") -> str:
        return f"http://{hostname}:{self.port}"

    def slipway(self, *arguments: str, timeout: float = 120) -> "subprocess.CompletedProcess[str]":
        """The command that people type; its exit code is not checked."""
        return run(*self.command(*arguments), timeout=timeout)

    def command(self, *arguments: str) -> list[str]:
        return [str(self.state / "bin/slipway"), *arguments]

    def json(self, *arguments: str, timeout: float = 120) -> Any:
        """What the command answers with --json. Fails the test when it fails."""
        ended = self.slipway(*arguments, "--json", timeout=timeout)
        assert ended.returncode == 0, f"slipway {' '.join(arguments)}: {ended.stdout}{ended.stderr}"
        return json.loads(ended.stdout)

    def local(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return run(str(self.state / "bin/slipway"), "local", *arguments, "--state", str(self.state))

    def enter(self, *argv: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in the box's world, as its root."""
        return run(*self.entering(*argv))

    def entering(self, *argv: str) -> list[str]:
        """The command that does so."""
        return [str(self.state / "bin/slipway"), "local", "enter", "--state", str(self.state), "--", *argv]

    @property
    def panel(self) -> str:
        """Its name; an app's is below it."""
        return "localhost"

    @property
    def address(self) -> str:
        """Where nginx is reached from outside."""
        return "127.0.0.1"

    def hostname(self, app: str) -> str:
        """An app's, as browsers send it."""
        return f"{app}.localhost:{self.port}"

    def browser(self) -> httpx.Client:
        """One who asks the panel over TLS, and says where from."""
        origin = f"https://localhost:{self.port}"
        return httpx.Client(base_url=origin, headers={"Origin": origin}, verify=False, timeout=60)

    def visitor(self, app: str, *, kept: bool = True, seconds: float = 30) -> httpx.Client:
        """One who asks an app, on a kept connection or a new one for each request."""
        headers = {"Host": self.hostname(app)} | ({} if kept else {"Connection": "close"})
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=seconds)

    def connect(self, app: str) -> socket.socket:
        """A visitor's connection to nginx, on which nothing was said yet."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def repository(self, folder: Path) -> str:
        """The address under which a folder of this machine is fetched."""
        return str(folder)

    def repository_at(self, port: int) -> str:
        """The address of one that whatever listens on a port of the box's loopback is asked for."""
        return f"http://127.0.0.1:{port}/repository.git"

    def listen(self, port: int = 0) -> socket.socket:
        """On a port of the box's loopback, as some other program of that machine."""
        return socket.create_server(("127.0.0.1", port))

    @property
    def id(self) -> str:
        """The installation's."""
        settings = tomllib.loads((self.state / "etc/slipway/slipway.toml").read_text())
        return str(settings["installation"]["id"])

    def unit(self, part: str) -> str:
        return f"slipway-{self.id}-{part}.service"

    def systemctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.enter("systemctl", "--user", *arguments)

    @property
    def etc(self) -> Path:
        """What lies in /etc but is not Slipway's alone: its users, for one."""
        return self.state / "private/etc/upper"

    @property
    def unit_files(self) -> Path:
        return self.state / "private/etc/units"

    @property
    def proc(self) -> Path:
        return Path("/proc")

    @property
    def tcp(self) -> Path:
        """The table of its TCP sockets (proc(5))."""
        return Path("/proc/net/tcp")

    def kill(self, pid: int, signal: str = "KILL") -> None:
        """A process by its number as the box counts."""
        done = self.enter("kill", f"-{signal}", str(pid))
        assert done.returncode == 0, done.stderr

    def restart(self, part: str) -> None:
        """One of Slipway's own services."""
        done = self.systemctl("restart", self.unit(part))
        assert done.returncode == 0, done.stderr

    def journal(self, lines: int = 80) -> str:
        if not (self.state / "bin/slipway").exists():
            return ""  # it did not get so far
        return self.enter("journalctl", "--no-pager", "--quiet", f"--lines={lines}").stdout

    def up(self, *options: str) -> None:
        """Start it, resume it, or bring it to the code that is in the checkout now."""
        install = [str(CHECKOUT / "install.sh"), "--try", "--state", str(self.state), "--port", str(self.port)]
        ended = run(*install, "--no-example", *options, timeout=600)
        if ended.returncode != 0:
            pytest.fail(f"the box did not start:\n{ended.stdout}{ended.stderr}\n{self.journal()}", pytrace=False)

    def does(self, what: str) -> None:
        """Told before something is done to it; where that is written down, so is how long it takes to settle."""

    def notes(self, what: str) -> None:
        """Told what came of it, where that is worth telling."""

    def has_settled(self) -> None:
        """Told when all agrees again."""

    def down_and_up(self) -> None:
        """As a person who stops it, and starts it again."""
        assert self.slipway("down").returncode == 0
        self.up()

    def end(self) -> None:
        """Stop it and remove its folder."""
        if (self.state / "bin/slipway").exists():
            self.slipway("down")
        shutil.rmtree(self.state)


def run(*argv: str, timeout: float = 120, **more: str) -> "subprocess.CompletedProcess[str]":
    """`more` is put into its environment."""
    environment = {"SLIPWAY_PARTS": str(PARTS), **os.environ, **more}
    return subprocess.run(
        argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout, check=False
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def quiet_port() -> int:
    """A free one that is neither given to outgoing connections nor to apps of a box."""
    for port in random.sample(range(9000, 10000), 1000):  # another process of tests looks too
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("every port from 9000 to 9999 is taken")


def fresh_box() -> Box:
    # Short, for the sockets in it; and closed to other users, as a home folder is.
    return Box(Path(tempfile.mkdtemp(prefix="box-", dir="/tmp")), free_port())


@contextlib.contextmanager
def running_box(*options: str) -> Iterator[Box]:
    """One that is up, until the end."""
    one = fresh_box()
    try:
        one.up(*options)
        yield one
    finally:
        one.end()


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    """One for all tests that do not break it."""
    with running_box() as one:
        yield one


@pytest.fixture
def own_box() -> Iterator[Box]:
    """One for a single test, which starts it itself and may do anything to it."""
    one = fresh_box()
    try:
        yield one
    finally:
        one.end()
