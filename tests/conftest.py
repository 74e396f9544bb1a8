"""What every test may ask for: a real PostgreSQL, and a fresh database with the schema in it."""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from slipway.db import Database, migrations

MIGRATIONS = Path(__file__).parent.parent / "migrations"
UNPRIVILEGED = "nobody"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-schema", action="store_true", help="write migrations/schema.sql anew, then compare")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser last: while playwright's synchronous API is open, no other event loop can run in this thread."""
    items.sort(key=lambda item: "browser" in Path(item.path).relative_to(Path(__file__).parent).parts)


@dataclass(frozen=True)
class Cluster:
    """A running PostgreSQL of the test session's own; `folder` holds its socket."""

    folder: Path
    binaries: Path

    def dsn(self, database: str) -> str:
        return f"postgresql://slipway@/{database}?host={self.folder}"

    def run(self, program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [str(self.binaries / program), *arguments], check=True, text=True, capture_output=True, **as_nobody()
        )


def as_nobody() -> dict[str, object]:
    """PostgreSQL refuses to be root: then it runs as nobody."""
    if os.geteuid() != 0:
        return {}
    account = pwd.getpwnam(UNPRIVILEGED)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Cluster]:
    """A cluster without TCP and without fsync, gone afterwards."""
    binaries = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = Path(tempfile.mkdtemp(prefix="slipway-pg-", dir="/tmp"))
    if os.geteuid() == 0:
        shutil.chown(folder, UNPRIVILEGED)
    cluster = Cluster(folder, binaries)
    data = folder / "data"
    cluster.run("initdb", "-D", str(data), "-U", "slipway", "-A", "trust", "-N", "-E", "UTF8", "--locale=C.UTF-8")
    options = f"-c listen_addresses='' -c unix_socket_directories={folder} -c fsync=off -c max_connections=200"
    cluster.run("pg_ctl", "-D", str(data), "-w", "-o", options, "-l", str(folder / "log"), "start")
    try:
        yield cluster
    finally:
        cluster.run("pg_ctl", "-D", str(data), "-w", "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
async def template(postgresql: Cluster) -> str:
    """A database with the schema, to be cloned."""
    admin = await asyncpg.connect(postgresql.dsn("postgres"))
    await admin.execute("CREATE DATABASE template_slipway")
    await admin.close()
    connection = await asyncpg.connect(postgresql.dsn("template_slipway"))
    await migrations.migrate(connection, MIGRATIONS)
    await connection.close()
    return "template_slipway"


_count = 0


@pytest.fixture
async def empty_database(postgresql: Cluster) -> AsyncIterator[str]:
    """The DSN of a database without a schema."""
    async with _database(postgresql, "template0") as dsn:
        yield dsn


@pytest.fixture
async def database(postgresql: Cluster, template: str) -> AsyncIterator[Database]:
    """A fresh database with the schema."""
    async with _database(postgresql, template) as dsn:
        db = Database(dsn, size=4)
        yield db
        await db.close()


class _database:
    def __init__(self, cluster: Cluster, template: str) -> None:
        global _count
        _count += 1
        self._cluster, self._template, self._name = cluster, template, f"test_{os.getpid()}_{_count}"

    async def __aenter__(self) -> str:
        await self._admin(f"CREATE DATABASE {self._name} TEMPLATE {self._template}")
        return self._cluster.dsn(self._name)

    async def __aexit__(self, *_: object) -> None:
        await self._admin(f"DROP DATABASE {self._name} WITH (FORCE)")

    async def _admin(self, statement: str) -> None:
        admin = await asyncpg.connect(self._cluster.dsn("postgres"))
        await admin.execute(statement)
        await admin.close()
