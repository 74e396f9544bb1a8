"""Migrations: forward only, whole or not at all, and exactly the committed schema."""

import asyncio
import re
from pathlib import Path

import asyncpg
import pytest
from tests.conftest import MIGRATIONS, Cluster

from slipway.db import Database, migrations
from slipway.errors import SchemaMismatch


def dump(postgresql: Cluster, dsn: str) -> str:
    """The schema as pg_dump sees it, without what differs between its versions."""
    text = postgresql.run("pg_dump", "--schema-only", "--no-owner", "--no-privileges", "--dbname", dsn).stdout
    lines = [line for line in text.splitlines() if not re.match(r"(--|SET |SELECT |\\(un)?restrict|$)", line)]
    return "\n".join(lines) + "\n"


async def test_the_migrations_give_exactly_the_committed_schema(
    postgresql: Cluster, empty_database: str, pytestconfig: pytest.Config
) -> None:
    connection = await asyncpg.connect(empty_database)
    await migrations.migrate(connection, MIGRATIONS)
    await connection.close()
    if pytestconfig.getoption("--write-schema"):
        (MIGRATIONS / "schema.sql").write_text(dump(postgresql, empty_database))
    assert dump(postgresql, empty_database) == (MIGRATIONS / "schema.sql").read_text(), (
        "run `make schema` and read what changed"
    )


async def test_two_that_migrate_at_once_apply_each_migration_once(empty_database: str) -> None:
    async def one() -> int:
        connection = await asyncpg.connect(empty_database)
        applied = await migrations.migrate(connection, MIGRATIONS)
        await connection.close()
        return len(applied)

    counts = await asyncio.gather(one(), one(), one())
    assert sorted(counts) == [0, 0, len(migrations.read_migrations(MIGRATIONS))]


async def test_a_migration_that_fails_leaves_nothing_of_itself(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_make_one.sql").write_text("CREATE TABLE one (id int);")
    (tmp_path / "0002_make_two.sql").write_text("CREATE TABLE two (id int); SELECT 1/0;")
    connection = await asyncpg.connect(empty_database)
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrations.migrate(connection, tmp_path)
    assert await connection.fetchval("SELECT to_regclass('one') IS NOT NULL AND to_regclass('two') IS NULL")
    (tmp_path / "0002_make_two.sql").write_text("CREATE TABLE two (id int);")
    assert [one.name for one in await migrations.migrate(connection, tmp_path)] == ["0002_make_two.sql"]
    await connection.close()


async def test_a_stale_schema_is_refused_with_what_to_do(empty_database: str) -> None:
    connection = await asyncpg.connect(empty_database)
    with pytest.raises(SchemaMismatch, match=r"older than this Slipway.*slipway migrate"):
        await migrations.check(connection, MIGRATIONS)
    await connection.close()


async def test_a_newer_schema_is_refused(empty_database: str, tmp_path: Path) -> None:
    connection = await asyncpg.connect(empty_database)
    await migrations.migrate(connection, MIGRATIONS)
    with pytest.raises(SchemaMismatch, match="newer than this Slipway"):
        await migrations.check(connection, tmp_path)
    await connection.close()


async def test_a_migration_that_was_edited_is_refused(empty_database: str, tmp_path: Path) -> None:
    (tmp_path / "0001_make_one.sql").write_text("CREATE TABLE one (id int);")
    connection = await asyncpg.connect(empty_database)
    await migrations.migrate(connection, tmp_path)
    (tmp_path / "0001_make_one.sql").write_text("CREATE TABLE one (id bigint);")
    with pytest.raises(SchemaMismatch, match="not the file that was applied"):
        await migrations.check(connection, tmp_path)
    await connection.close()


@pytest.mark.parametrize(
    ("table", "column"), [("sign_in_failures", "at"), ("idempotency_keys", "created_at"), ("events", "at")]
)
async def test_what_is_deleted_by_its_age_is_found_by_an_index(database: Database, table: str, column: str) -> None:
    async with database.transaction() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")  # a small table would be read whole
        rows = await connection.fetch(f"EXPLAIN DELETE FROM {table} WHERE {column} < now() - interval '1 day'")
    assert f"{table}_{column}" in "\n".join(row[0] for row in rows)


def test_a_gap_in_the_numbers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_make_one.sql").touch()
    (tmp_path / "0003_make_three.sql").touch()
    with pytest.raises(SchemaMismatch, match="without a gap"):
        migrations.read_migrations(tmp_path)
