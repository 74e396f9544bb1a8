"""The real application on real sockets with a real PostgreSQL, and the cast that asks."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from slipway.accounts import passwords
from slipway.app import Slipway
from slipway.db import Database
from slipway.settings import Certificates, Http, Installation, Mode, Settings
from slipway.teams import store as teams_store
from slipway.teams.models import Role
from slipway.web.csrf import token_for
from slipway.web.server import Server, bind_socket

PASSWORD = "correct horse battery"
CAST = ("owner", "member", "viewer", "outsider", "nobody", "operator")


@dataclass
class Panel:
    """A daemon without the host agent: everything but what runs on the box."""

    slipway: Slipway
    settings: Settings
    server: Server
    cookies: dict[str, str]
    """Who → the session cookie's value."""

    @property
    def origin(self) -> str:
        return self.settings.panel_url

    @property
    def cookie(self) -> str:
        return "__Host-slipway" if self.settings.http.tls else "slipway-local"

    @asynccontextmanager
    async def client(self, who: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser of this person, or the operator's command line: it sends what such a one sends."""
        operator = who == "operator"
        path = self.settings.paths.admin_socket if operator else self.settings.paths.web_socket
        headers = {"host": httpx.URL(self.origin).netloc.decode()}
        if not operator:
            headers["origin"] = self.origin
        if who in self.cookies:
            headers["cookie"] = f"{self.cookie}={self.cookies[who]}"
            headers["x-csrf-token"] = token_for(self.cookies[who])
        transport = httpx.AsyncHTTPTransport(uds=str(path))
        async with httpx.AsyncClient(
            transport=transport, base_url="http://panel", headers=headers, timeout=30
        ) as client:
            yield client

    async def make_account(self, email: str) -> tuple[int, str]:
        """→ (id, session). Made by a setup link, as people do."""
        link = await self.slipway.accounts.make_setup_link()
        account, session = await self.slipway.teams.set_up(link, email, email.split("@")[0], PASSWORD)
        return account.id, session

    async def set_role(self, account_id: int, team_id: int, role: Role | None) -> None:
        async with self.slipway.db.transaction() as connection:
            await connection.execute("DELETE FROM memberships WHERE account_id = $1", account_id)
            if role is not None:
                await teams_store.put_membership(connection, team_id, account_id, role)


@asynccontextmanager
async def running_panel(database: Database, *, tls: bool, plain_port: int | None = None) -> AsyncIterator[Panel]:
    with tempfile.TemporaryDirectory(prefix="slw-", dir="/tmp") as folder:
        settings = Settings(
            installation=Installation(id="test", mode=Mode.LOCAL),
            http=Http(port=8443 if tls else 8080, tls=tls, plain_port=plain_port, panel="panel.localhost"),
            certificates=Certificates(acme_server="https://ca.example.org/directory"),
            prefix=folder,
        )
        settings.paths.run.mkdir(parents=True)
        slipway = Slipway(settings, b"k" * 32)
        slipway.db._dsn = database._dsn  # the test's database instead of the installation's
        server = Server(
            slipway.application(),
            bind_socket(settings.paths.web_socket, 0o660),
            bind_socket(settings.paths.admin_socket, 0o600),
        )
        serving = asyncio.create_task(server._serve())
        writing = asyncio.create_task(slipway.logs.store_lines())
        while not server.started:
            await asyncio.sleep(0.01)
        try:
            yield Panel(slipway, settings, server, {})
        finally:
            server.should_exit = True
            await serving
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
            await slipway.db.close()


@pytest.fixture(autouse=True)
def quick_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """bcrypt all the same, at a cost that lets hundreds of tests sign in."""
    monkeypatch.setattr(passwords, "COST", 5)


@pytest.fixture
async def panel(database: Database) -> AsyncIterator[Panel]:
    """Fresh, over plain HTTP, with nobody in it."""
    async with running_panel(database, tls=False) as panel:
        yield panel


@pytest.fixture
async def tls_panel(database: Database) -> AsyncIterator[Panel]:
    """Fresh, behind TLS."""
    async with running_panel(database, tls=True) as panel:
        yield panel


@pytest.fixture
async def certifying(database: Database) -> AsyncIterator[Panel]:
    """Behind TLS, where certificates of an authority can be had; with the cast in it."""
    async with running_panel(database, tls=True, plain_port=8081) as panel:
        yield await with_cast(panel)


@pytest.fixture
async def cast(panel: Panel) -> Panel:
    """Owner, member and viewer of the first team, an outsider without a team; and an app, `blog`, of that team."""
    return await with_cast(panel)


async def with_cast(panel: Panel) -> Panel:
    for who in ("owner", "member", "viewer", "outsider"):
        account_id, panel.cookies[who] = await panel.make_account(f"{who}@example.org")
        role = None if who == "outsider" else Role(who)
        await panel.set_role(account_id, 1, role)
    async with panel.client("operator") as operator:
        answer = await operator.post(
            "/api/apps", json={"name": "blog", "repository": "https://git.example.org/blog.git"}
        )
        assert answer.status_code == 201, answer.text
    return panel
