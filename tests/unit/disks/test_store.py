"""What counts as taken, and what nobody needs any more: never what is under way."""

from tests.unit.system.test_housekeeping import an_environment

from slipway.db import Connection, Database
from slipway.disks import store
from slipway.disks.store import Measurable
from slipway.host.protocol import DiskUsage


async def deployed(connection: Connection, environment: int, days: int, state: str = "live") -> None:
    await connection.execute(
        """INSERT INTO deployments (environment_id, kind, state, trigger, created_at)
           VALUES ($1, 'deploy', $2, 'person', now() - make_interval(days => $3))""",
        environment, state, days,
    )  # fmt: skip
    await connection.execute("UPDATE environments SET generation = 1 WHERE id = $1", environment)


async def a_build(connection: Connection, environment: int, state: str = "ready") -> int:
    build: int = await connection.fetchval(
        "INSERT INTO builds (environment_id, commit, state) VALUES ($1, repeat('a', 40), $2) RETURNING id",
        environment, state,
    )  # fmt: skip
    return build


async def measured(connection: Connection, environment: int, *builds: tuple[int, int]) -> Measurable:
    one = await store.find_measurable(connection, environment)
    assert one is not None
    await store.put_usage(connection, one, DiskUsage(builds, cache=5, data=7, mirror=11))
    return one


async def test_an_app_takes_what_all_its_environments_take_and_its_mirror_once(database: Database) -> None:
    async with database.connection() as connection:
        first = await an_environment(connection, "shop", 1)
        app = await connection.fetchval("SELECT app_id FROM environments WHERE id = $1", first)
        second = await connection.fetchval(
            "INSERT INTO environments (app_id, name, place) VALUES ($1, 'staging', 2) RETURNING id", app
        )
        kept, deleted = await a_build(connection, first), await a_build(connection, first, "deleted")
        await measured(connection, first, (kept, 100), (deleted, 1000))
        [half] = await store.list_usages(connection, None, 64)
        await measured(connection, second)
        [usage] = await store.list_usages(connection, None, 64, app)
    assert half.measured_at is None, "not all of it was measured"
    assert (usage.builds, usage.caches, usage.data, usage.mirror, usage.total) == (100, 10, 14, 11, 135)
    assert (usage.budget, usage.own_budget) == (64, False)
    assert usage.measured_at is not None


async def test_caches_and_mirrors_go_only_long_after_the_last_deployment_and_never_during_one(
    database: Database,
) -> None:
    async with database.connection() as connection:
        idle, lately, busy = [await an_environment(connection, name, n) for n, name in enumerate(("a", "b", "c"), 1)]
        await deployed(connection, idle, 15)
        await deployed(connection, lately, 13)
        await deployed(connection, busy, 15)
        await deployed(connection, busy, 0, "building")
        ones = [await measured(connection, one) for one in (idle, lately, busy)]
        assert await store.list_idle_caches(connection, 14) == [ones[0]]
        assert await store.list_idle_mirrors(connection, 14) == [ones[0].app_id]
        short = await store.list_idle_caches(connection, 0)
        assert {one.environment_id for one in short} == {idle, lately}, "short of room, all that is not in use"
        assert await store.is_at_work(connection, ones[2].app_id)
        assert not await store.is_at_work(connection, ones[0].app_id)
        await store.forget_cache(connection, idle)
        assert await store.list_idle_caches(connection, 14) == []


async def test_a_next_build_is_measured_by_the_newest_that_was(database: Database) -> None:
    async with database.connection() as connection:
        environment = await an_environment(connection, "shop", 1)
        assert await store.newest_build_bytes(connection, environment) is None
        old, new, unmeasured = [await a_build(connection, environment) for _ in range(3)]
        await measured(connection, environment, (old, 10), (new, 20))
        assert unmeasured > new
        assert await store.newest_build_bytes(connection, environment) == 20


async def test_nothing_is_put_of_an_environment_that_is_gone(database: Database) -> None:
    async with database.connection() as connection:
        await store.put_usage(connection, Measurable(4711, 4711), DiskUsage(cache=1))
        assert await store.list_usages(connection, None, 64) == []
