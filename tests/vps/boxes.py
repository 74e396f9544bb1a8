"""A booted server as the box that the tests of deployments speak with: the same cases, with real users and limits."""

import socket
import ssl
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.integration.conftest import Box
from tests.vps.servers import Server


@dataclass(frozen=True)
class OnServer(Box):
    """`state` is the server's root as it can be reached from this machine; it stays the same over reboots."""

    server: Server
    address_of: Callable[[Path], str] = str
    """Where a folder of this machine is fetched from."""

    def url(self, hostname: str = "localhost") -> str:
        return f"https://{hostname}"

    def command(self, *arguments: str) -> list[str]:
        return self.entering("slipway", *arguments)

    def local(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        raise AssertionError("a server is not in local mode")

    def entering(self, *argv: str) -> list[str]:
        return self.server.entering(*argv)

    def up(self, *options: str) -> None:
        """It is, when it is given to a test."""

    def does(self, what: str) -> None:
        self.server.does(what)

    def notes(self, what: str) -> None:
        self.server.story.notes(what)

    def has_settled(self) -> None:
        self.server.story.has_settled()

    def down_and_up(self) -> None:
        self.server.reboot()

    def end(self) -> None:
        """Whoever booted it ends it."""

    @property
    def panel(self) -> str:
        return self.server.base

    @property
    def address(self) -> str:
        return self.server.address

    def hostname(self, app: str) -> str:
        return f"{app}.{self.panel}"

    def browser(self) -> httpx.Client:
        headers = {"Host": self.panel, "Origin": f"https://{self.panel}"}
        return httpx.Client(
            base_url=f"https://{self.address}", headers=headers, timeout=60, transport=_Named(self.panel)
        )

    def visitor(self, app: str, *, kept: bool = True, seconds: float = 30) -> httpx.Client:
        name = self.hostname(app)
        headers = {"Host": name} | ({} if kept else {"Connection": "close"})
        return httpx.Client(
            base_url=f"https://{self.server.address}", headers=headers, timeout=seconds, transport=_Named(name)
        )

    def connect(self, app: str) -> socket.socket:
        plain = socket.create_connection((self.server.address, 443), timeout=20)
        return _trusting().wrap_socket(plain, server_hostname=self.hostname(app))

    def repository(self, folder: Path) -> str:
        return self.address_of(folder)

    def repository_at(self, port: int) -> str:
        return f"https://127.0.0.1:{port}/repository.git"

    def listen(self, port: int = 0) -> socket.socket:
        return self.server.network.listen(port)

    def systemctl(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return self.enter("systemctl", *arguments)

    def journal(self, lines: int = 80) -> str:
        return self.enter("journalctl", "--no-pager", "--quiet", f"--lines={lines}").stdout

    @property
    def etc(self) -> Path:
        return self.state / "etc"

    @property
    def unit_files(self) -> Path:
        return self.etc / "systemd/system"

    @property
    def proc(self) -> Path:
        return self.state / "proc"

    @property
    def tcp(self) -> Path:
        return self.proc / "1/net/tcp"


class _Named(httpx.HTTPTransport):
    """Speaks to an address, and says the name that it means (RFC 6066, section 3)."""

    def __init__(self, name: str) -> None:
        super().__init__(verify=_trusting())
        self._name = name

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["sni_hostname"] = self._name
        return super().handle_request(request)


def _trusting() -> ssl.SSLContext:
    """The server's certificate is of its own making."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
