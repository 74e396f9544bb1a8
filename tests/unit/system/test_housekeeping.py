"""The tables do not grow for ever."""

import pytest

from slipway.db import Connection, Database
from slipway.logs import service as logs
from slipway.settings import History
from slipway.system import housekeeping
from slipway.system.housekeeping import tidy


async def an_environment(connection: Connection, name: str, place: int) -> int:
    team = await connection.fetchval("INSERT INTO teams (name) VALUES ('t') RETURNING id")
    app = await connection.fetchval(
        "INSERT INTO apps (team_id, name, repository, branch) VALUES ($1, $2, '/r', 'main') RETURNING id", team, name
    )
    environment: int = await connection.fetchval(
        "INSERT INTO environments (app_id, name, place) VALUES ($1, 'production', $2) RETURNING id", app, place
    )
    return environment


async def a_deployment(connection: Connection, environment: int, state: str) -> int:
    deployment: int = await connection.fetchval(
        """INSERT INTO deployments (environment_id, kind, state, trigger)
           VALUES ($1, 'deploy', $2, 'person') RETURNING id""",
        environment,
        state,
    )
    await connection.execute(
        "INSERT INTO deployment_log (deployment_id, number, at, phase, text) VALUES ($1, 1, now(), 'queued', 'x')",
        deployment,
    )
    return deployment


async def write_lines(connection: Connection, deployment: int, count: int) -> None:
    """So many more lines in a deployment's log."""
    await connection.execute(
        """INSERT INTO deployment_log (deployment_id, number, at, phase, text)
           SELECT $1, n, now(), 'building', 'x' FROM generate_series(2, $2::int + 1) AS n""",
        deployment, count,
    )  # fmt: skip


async def refuse(connection: Connection, table: str, more_than: int, code: str = "raise_exception") -> None:
    """Let no statement delete more rows of a table, by whatever way it comes to them."""
    await connection.execute(
        f"""CREATE FUNCTION refuse_{table}() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF (SELECT count(*) FROM gone) > {more_than} THEN
                    RAISE EXCEPTION 'one statement deletes too much' USING ERRCODE = '{code}';
                END IF;
                RETURN NULL;
            END $$;
            CREATE TRIGGER refuse AFTER DELETE ON {table} REFERENCING OLD TABLE AS gone
                FOR EACH STATEMENT EXECUTE FUNCTION refuse_{table}()"""
    )


async def test_a_long_log_is_deleted_in_parts(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "LINES_AT_ONCE", 3)
    async with database.connection() as connection:
        environment = await an_environment(connection, "one", 1)
        gone, without_log, newest = [await a_deployment(connection, environment, "failed") for _ in range(3)]
        for deployment in (gone, without_log):
            await write_lines(connection, deployment, 10)
        await refuse(connection, "deployment_log", more_than=3)
    await tidy(database, History(deployments=2), kept_logs=1)
    async with database.connection() as connection:
        assert await ids(connection, "deployments") == {without_log, newest}
        assert await ids(connection, "deployment_log", "deployment_id") == {newest}


async def test_deployments_go_with_their_long_logs_in_parts_and_what_they_undid_with_them(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "LINES_AT_ONCE", 3)
    async with database.connection() as connection:
        environment = await an_environment(connection, "one", 1)
        bad, undoing, newest = [await a_deployment(connection, environment, "live") for _ in range(3)]
        await connection.execute("UPDATE deployments SET undone_by = $2 WHERE id = $1", bad, undoing)
        for deployment in (bad, undoing):
            await write_lines(connection, deployment, 10)
        await refuse(connection, "deployment_log", more_than=3)
    await tidy(database, History(deployments=1), kept_logs=100)
    async with database.connection() as connection:
        assert await ids(connection, "deployments") == {newest}


async def test_one_kind_that_cannot_be_deleted_leaves_the_others_their_turn(database: Database) -> None:
    async with database.connection() as connection:
        environment = await an_environment(connection, "one", 1)
        old, newest = [await a_deployment(connection, environment, "failed") for _ in range(2)]
        await connection.execute(
            "INSERT INTO events (kind, actor, at) VALUES ('app.created', 'x', now() - interval '40 days')"
        )
        await refuse(connection, "deployment_log", more_than=0, code="admin_shutdown")
    await tidy(database, History(deployments=1, events_days=30), kept_logs=1)
    async with database.connection() as connection:
        assert await ids(connection, "deployments") == {old, newest}, "its log is still there"
        assert await ids(connection, "events") == set()


async def test_old_logs_go_but_never_those_of_what_is_under_way(database: Database) -> None:
    async with database.connection() as connection:
        one, other = await an_environment(connection, "one", 1), await an_environment(connection, "other", 2)
        waiting = await a_deployment(connection, one, "queued")
        old = await a_deployment(connection, one, "failed")
        kept = [await a_deployment(connection, one, "live") for _ in range(2)]
        others = await a_deployment(connection, other, "live")
    await tidy(database, History(), kept_logs=2)
    async with database.connection() as connection:
        left = {row["deployment_id"] for row in await connection.fetch("SELECT deployment_id FROM deployment_log")}
    assert old not in left
    assert left == {waiting, *kept, others}


async def test_the_newest_crashes_of_each_environment_are_kept(database: Database) -> None:
    async with database.connection() as connection:
        one, other = await an_environment(connection, "one", 1), await an_environment(connection, "other", 2)
        for environment, count in ((one, 4), (other, 1)):
            for n in range(count):
                await connection.execute(
                    """INSERT INTO crashes (record, environment_id, release_number, generation, process, rank, at,
                                            out_of_memory, lines)
                       VALUES ($1, $2, 1, 1, 'web', 0, now(), false, '[]')""",
                    f"{environment}-{n}", environment,
                )  # fmt: skip
    await tidy(database, History(), kept_crashes=3)
    async with database.connection() as connection:
        left = [row["record"] for row in await connection.fetch("SELECT record FROM crashes ORDER BY id")]
    assert left == [f"{one}-1", f"{one}-2", f"{one}-3", f"{other}-0"]


async def a_release(connection: Connection, environment: int, deployment: int, *, pruned: bool) -> int:
    """The release that a deployment made, of a build of its own; → the release."""
    build = await connection.fetchval(
        "INSERT INTO builds (environment_id, commit, state) VALUES ($1, 'c', $2) RETURNING id",
        environment, "deleted" if pruned else "ready",
    )  # fmt: skip
    release: int = await connection.fetchval(
        """INSERT INTO releases (environment_id, number, build_id, variables, settings, processes, reason, pruned_at)
           VALUES ($1, $2, $3, '', '{}', '{}', 'deploy', CASE WHEN $4 THEN now() END) RETURNING id""",
        environment, deployment, build, pruned,
    )  # fmt: skip
    await connection.execute(
        "UPDATE deployments SET build_id = $2, release_id = $3 WHERE id = $1", deployment, build, release
    )
    await connection.execute("INSERT INTO deployment_phases (deployment_id, phase) VALUES ($1, 'building')", deployment)
    return release


async def ids(connection: Connection, table: str, column: str = "id") -> set[int]:
    return {row[column] for row in await connection.fetch(f"SELECT {column} FROM {table}")}


async def test_old_deployments_go_with_what_only_they_tell_of(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "ROWS_AT_ONCE", 1)
    async with database.connection() as connection:
        one, other = await an_environment(connection, "one", 1), await an_environment(connection, "other", 2)
        old = [await a_deployment(connection, one, "live") for _ in range(3)]
        kept_release, forgotten, _ = [
            await a_release(connection, one, number, pruned=number != old[0]) for number in old
        ]
        waiting = await a_deployment(connection, one, "queued")
        undoing = await a_deployment(connection, one, "live")
        newest = [await a_deployment(connection, one, "failed") for _ in range(2)]
        await connection.execute("UPDATE deployments SET undone_by = $2 WHERE id = $1", newest[0], undoing)
        others = await a_deployment(connection, other, "live")
    await tidy(database, History(deployments=2))
    async with database.connection() as connection:
        stays = {old[0], waiting, undoing, *newest, others}
        assert await ids(connection, "deployments") == stays
        assert await ids(connection, "deployment_log", "deployment_id") == stays
        assert await ids(connection, "deployment_phases", "deployment_id") == {old[0]}
        assert await ids(connection, "releases") == {kept_release}
        assert forgotten != kept_release
        assert await connection.fetchval("SELECT count(*) FROM builds") == 1


async def test_a_release_that_is_given_up_stays_as_long_as_a_deployment_tells_of_it(database: Database) -> None:
    async with database.connection() as connection:
        environment = await an_environment(connection, "one", 1)
        release = await a_release(
            connection, environment, await a_deployment(connection, environment, "live"), pruned=True
        )
    await tidy(database, History())
    async with database.connection() as connection:
        assert await ids(connection, "releases") == {release}
        assert await connection.fetchval("SELECT count(*) FROM builds") == 1


async def test_what_was_undone_long_ago_goes_and_then_what_undid_it(database: Database) -> None:
    async with database.connection() as connection:
        environment = await an_environment(connection, "one", 1)
        bad, undoing, newest = [await a_deployment(connection, environment, "live") for _ in range(3)]
        await connection.execute("UPDATE deployments SET undone_by = $2 WHERE id = $1", bad, undoing)
    await tidy(database, History(deployments=1))
    async with database.connection() as connection:
        assert await ids(connection, "deployments") == {newest}


async def test_events_are_kept_for_as_long_as_the_settings_say(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "ROWS_AT_ONCE", 2)
    async with database.connection() as connection:
        for days in (40, 35, 31, 29, 0):
            await connection.execute(
                "INSERT INTO events (kind, actor, at) VALUES ('app.created', $1, now() - make_interval(days => $2))",
                str(days), days,
            )  # fmt: skip
    await tidy(database, History(events_days=30))
    async with database.connection() as connection:
        left = [row["actor"] for row in await connection.fetch("SELECT actor FROM events ORDER BY id")]
    assert left == ["29", "0"]
