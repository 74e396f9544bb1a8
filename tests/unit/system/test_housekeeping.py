"""The tables do not grow for ever."""

from slipway.db import Connection, Database
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


async def test_old_logs_go_but_never_those_of_what_is_under_way(database: Database) -> None:
    async with database.connection() as connection:
        one, other = await an_environment(connection, "one", 1), await an_environment(connection, "other", 2)
        waiting = await a_deployment(connection, one, "queued")
        old = await a_deployment(connection, one, "failed")
        kept = [await a_deployment(connection, one, "live") for _ in range(2)]
        others = await a_deployment(connection, other, "live")
    await tidy(database, kept_logs=2)
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
    await tidy(database, kept_crashes=3)
    async with database.connection() as connection:
        left = [row["record"] for row in await connection.fetch("SELECT record FROM crashes ORDER BY id")]
    assert left == [f"{one}-1", f"{one}-2", f"{one}-3", f"{other}-0"]
