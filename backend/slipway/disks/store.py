"""What was measured, in PostgreSQL, and what of it nobody needs any more."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from slipway.db import Connection
from slipway.disks.models import AppUsage
from slipway.host.protocol import DiskUsage

_OPEN = "d.state NOT IN ('live', 'failed', 'cancelled', 'superseded')"


class Measurable(msgspec.Struct, frozen=True):
    """An environment, with the app whose mirror is measured with it."""

    environment_id: int
    app_id: int


async def put_usage(connection: Connection, one: Measurable, usage: DiskUsage) -> None:
    """Nothing is put of what was deleted meanwhile."""
    await connection.execute(
        """UPDATE builds SET bytes = m.bytes FROM unnest($1::bigint[], $2::bigint[]) AS m (id, bytes)
           WHERE builds.id = m.id""",
        [build for build, _ in usage.builds], [size for _, size in usage.builds],
    )  # fmt: skip
    await connection.execute(
        """INSERT INTO disk_usage (environment_id, cache, data) SELECT id, $2, $3 FROM environments WHERE id = $1
           ON CONFLICT (environment_id) DO UPDATE SET cache = $2, data = $3, measured_at = now()""",
        one.environment_id, usage.cache, usage.data,
    )  # fmt: skip
    await connection.execute(
        """INSERT INTO mirror_usage (app_id, bytes) SELECT id, $2 FROM apps WHERE id = $1
           ON CONFLICT (app_id) DO UPDATE SET bytes = $2, measured_at = now()""",
        one.app_id, usage.mirror,
    )  # fmt: skip


async def list_usages(
    connection: Connection, team_ids: Sequence[int] | None, default_budget: int, app_id: int | None = None
) -> list[AppUsage]:
    """Of the apps of these teams (None: of all), those that take most first."""
    rows = await connection.fetch(
        """SELECT a.name AS app, coalesce(b.bytes, 0) AS builds, coalesce(u.cache, 0) AS caches,
                  coalesce(u.data, 0) AS data, coalesce(m.bytes, 0) AS mirror,
                  coalesce(a.disk_budget, $2) AS budget, a.disk_budget IS NOT NULL AS own_budget,
                  CASE WHEN u.measured = u.environments THEN least(u.measured_at, m.measured_at) END AS measured_at
           FROM apps a
           LEFT JOIN mirror_usage m ON m.app_id = a.id
           LEFT JOIN LATERAL (SELECT sum(builds.bytes)::bigint AS bytes
                              FROM builds JOIN environments e ON e.id = builds.environment_id
                              WHERE e.app_id = a.id AND builds.state <> 'deleted') b ON true
           LEFT JOIN LATERAL (SELECT sum(cache)::bigint AS cache, sum(data)::bigint AS data,
                                     min(d.measured_at) AS measured_at, count(d.environment_id) AS measured,
                                     count(*) AS environments
                              FROM environments e LEFT JOIN disk_usage d ON d.environment_id = e.id
                              WHERE e.app_id = a.id) u ON true
           WHERE ($1::bigint[] IS NULL OR a.team_id = ANY($1)) AND ($3::bigint IS NULL OR a.id = $3)
           ORDER BY coalesce(b.bytes, 0) + coalesce(u.cache, 0) + coalesce(u.data, 0) + coalesce(m.bytes, 0) DESC,
                    a.name""",
        None if team_ids is None else list(team_ids), default_budget, app_id,
    )  # fmt: skip
    return [msgspec.convert(dict(row), AppUsage) for row in rows]


async def newest_build_bytes(connection: Connection, environment_id: int) -> int | None:
    """What the newest build that was measured takes; None where there is none."""
    found: int | None = await connection.fetchval(
        """SELECT bytes FROM builds WHERE environment_id = $1 AND state = 'ready' AND bytes IS NOT NULL
           ORDER BY id DESC LIMIT 1""",
        environment_id,
    )
    return found


async def put_budget(connection: Connection, app_id: int, budget: int | None) -> None:
    await connection.execute("UPDATE apps SET disk_budget = $2 WHERE id = $1", app_id, budget)


async def list_environments_of(connection: Connection, app_id: int) -> list[Measurable]:
    rows = await connection.fetch("SELECT id FROM environments WHERE app_id = $1 ORDER BY id", app_id)
    return [Measurable(row["id"], app_id) for row in rows]


async def find_measurable(connection: Connection, environment_id: int) -> Measurable | None:
    app_id = await connection.fetchval(
        "SELECT app_id FROM environments WHERE id = $1 AND deleting_at IS NULL", environment_id
    )
    return Measurable(environment_id, app_id) if app_id is not None else None


async def list_due(connection: Connection, before: datetime, limit: int) -> list[Measurable]:
    """Environments that something was ever deployed to and that were not measured since, longest ago first."""
    rows = await connection.fetch(
        """SELECT e.id, e.app_id FROM environments e LEFT JOIN disk_usage u ON u.environment_id = e.id
           WHERE e.deleting_at IS NULL AND e.generation > 0 AND (u.measured_at IS NULL OR u.measured_at < $1)
           ORDER BY u.measured_at NULLS FIRST, e.id LIMIT $2""",
        before, limit,
    )  # fmt: skip
    return [Measurable(row["id"], row["app_id"]) for row in rows]


async def list_idle_caches(connection: Connection, days: int) -> list[Measurable]:
    """Environments with something in their caches, to which nothing was deployed for so many days (0: just now)."""
    rows = await connection.fetch(
        f"""SELECT e.id, e.app_id FROM environments e JOIN disk_usage u ON u.environment_id = e.id
            WHERE e.deleting_at IS NULL AND u.cache > 0
              AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.environment_id = e.id
                              AND ({_OPEN} OR d.created_at > now() - make_interval(days => $1)))
            ORDER BY u.cache DESC""",  # noqa: S608
        days,
    )
    return [Measurable(row["id"], row["app_id"]) for row in rows]


async def list_idle_mirrors(connection: Connection, days: int) -> list[int]:
    """Apps with a mirror, of which nothing was deployed for so many days (0: just now)."""
    rows = await connection.fetch(
        f"""SELECT m.app_id FROM mirror_usage m JOIN apps a ON a.id = m.app_id
            WHERE a.deleting_at IS NULL AND m.bytes > 0
              AND NOT EXISTS (SELECT 1 FROM deployments d JOIN environments e ON e.id = d.environment_id
                              WHERE e.app_id = a.id
                                AND ({_OPEN} OR d.created_at > now() - make_interval(days => $1)))
            ORDER BY m.bytes DESC""",  # noqa: S608
        days,
    )
    return [row["app_id"] for row in rows]


async def is_at_work(connection: Connection, app_id: int) -> bool:
    """Whether a deployment of an app has begun and not ended."""
    found: bool = await connection.fetchval(
        f"""SELECT EXISTS (SELECT 1 FROM deployments d JOIN environments e ON e.id = d.environment_id
                           WHERE e.app_id = $1 AND {_OPEN} AND d.state <> 'queued')""",  # noqa: S608
        app_id,
    )
    return found


async def forget_cache(connection: Connection, environment_id: int) -> None:
    await connection.execute("UPDATE disk_usage SET cache = 0 WHERE environment_id = $1", environment_id)


async def forget_mirror(connection: Connection, app_id: int) -> None:
    await connection.execute("UPDATE mirror_usage SET bytes = 0 WHERE app_id = $1", app_id)
