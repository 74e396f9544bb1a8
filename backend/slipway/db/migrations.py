"""Numbered plain-SQL migrations: forward only, one transaction each, under an advisory lock.

A file is `NNNN_verb_noun.sql`. A first line `-- no-transaction` runs it outside a transaction (for
`CREATE INDEX CONCURRENTLY`). What ran is kept with its SHA-256, so that an edited file is noticed.
"""

import asyncio
import hashlib
import re
from pathlib import Path

import asyncpg
import msgspec

from slipway.db.pool import Connection
from slipway.errors import SchemaMismatch

_FILE = re.compile(r"(\d{4})_[a-z0-9_]+\.sql\Z")
_LOCK = 0x51199A7
_TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)"""


class Migration(msgspec.Struct, frozen=True):
    number: int
    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def in_transaction(self) -> bool:
        return not self.sql.startswith("-- no-transaction")


def read_migrations(folder: Path) -> list[Migration]:
    """Every migration of a folder in order. Raises SchemaMismatch where numbers leave a gap or collide."""
    found = [
        Migration(int(match[1]), path.name, path.read_text(encoding="utf-8"))
        for path in sorted(folder.iterdir())
        if (match := _FILE.match(path.name))
    ]
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise SchemaMismatch(f"The migrations in {folder} are not numbered 0001, 0002, … without a gap.")
    return found


async def migrate(connection: Connection, folder: Path) -> list[Migration]:
    """Apply what is missing; → what was applied. Raises SchemaMismatch where the database is newer or differs."""
    migrations = read_migrations(folder)
    # Polled: waiters on a blocking pg_advisory_lock deadlock with CREATE INDEX CONCURRENTLY.
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):  # noqa: ASYNC110
        await asyncio.sleep(0.1)
    try:
        await connection.execute(_TABLE)
        missing = migrations[_check(migrations, await _applied(connection)) :]
        for migration in missing:
            await _apply(connection, migration)
        return missing
    finally:
        await connection.execute("SELECT pg_advisory_unlock($1)", _LOCK)


async def check(connection: Connection, folder: Path) -> None:
    """Raise SchemaMismatch unless the database is exactly at this program's schema."""
    migrations = read_migrations(folder)
    try:
        applied = await _applied(connection)
    except asyncpg.UndefinedTableError:
        applied = {}
    done = _check(migrations, applied)
    if done < len(migrations):
        raise SchemaMismatch(
            f"The database is older than this Slipway: it stands at migration {done} of {len(migrations)}. "
            "Run `slipway migrate`, then start again."
        )


async def _applied(connection: Connection) -> dict[int, tuple[str, str]]:
    rows = await connection.fetch("SELECT number, name, sha256 FROM schema_migrations ORDER BY number")
    return {row["number"]: (row["name"], row["sha256"]) for row in rows}


def _check(migrations: list[Migration], applied: dict[int, tuple[str, str]]) -> int:
    """How many are applied, having checked that they are these."""
    if len(applied) > len(migrations):
        newest = applied[max(applied)][0]
        raise SchemaMismatch(
            f"The database is newer than this Slipway: {newest} is unknown here. "
            "Start the newer Slipway again; a schema never goes back."
        )
    for migration in migrations[: len(applied)]:
        if applied.get(migration.number, ("", ""))[1] != migration.sha256:
            raise SchemaMismatch(
                f"{migration.name} is not the file that was applied to this database. Restore the file; never edit "
                "a migration that ran, add another."
            )
    return len(applied)


async def _apply(connection: Connection, migration: Migration) -> None:
    record = "INSERT INTO schema_migrations (number, name, sha256) VALUES ($1, $2, $3)"
    if migration.in_transaction:
        async with connection.transaction():
            await connection.execute(migration.sql)
            await connection.execute(record, migration.number, migration.name, migration.sha256)
    else:
        await connection.execute(migration.sql)
        await connection.execute(record, migration.number, migration.name, migration.sha256)
