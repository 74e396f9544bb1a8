"""Apps, environments and variables in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import asyncpg
import msgspec

from slipway.apps.models import App, Environment, EnvironmentSettings
from slipway.db import Connection
from slipway.errors import Conflict, NotFound

_APP = "id, team_id, name, repository, branch, base_directory, created_at, deleting_at"
_ENVIRONMENT = "id, app_id, name, branch, place, settings, scale, generation, created_at, deleting_at"


class SealedVariable(msgspec.Struct, frozen=True):
    """A variable as it lies in the table."""

    key: str
    value: bytes
    secret: bool
    updated_at: datetime


def _app(row: asyncpg.Record) -> App:
    return msgspec.convert(dict(row), App)


def _environment(row: asyncpg.Record) -> Environment:
    return msgspec.convert(dict(row), Environment)


async def insert_app(
    connection: Connection, team_id: int, name: str, repository: str, branch: str, base_directory: str
) -> App:
    try:
        row = await connection.fetchrow(
            f"""INSERT INTO apps (team_id, name, repository, branch, base_directory)
                VALUES ($1, $2, $3, $4, $5) RETURNING {_APP}""",  # noqa: S608 - a constant list of columns
            team_id, name, repository, branch, base_directory,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"There is an app named {name} already. Choose another name.", field="name") from error
    assert row is not None
    return _app(row)


async def find_app(connection: Connection, name: str) -> App | None:
    row = await connection.fetchrow(f"SELECT {_APP} FROM apps WHERE name = $1", name)  # noqa: S608
    return _app(row) if row else None


async def get_app_by_id(connection: Connection, app_id: int) -> App:
    row = await connection.fetchrow(f"SELECT {_APP} FROM apps WHERE id = $1", app_id)  # noqa: S608
    if row is None:
        raise NotFound("That app is gone.")
    return _app(row)


async def list_apps(connection: Connection, team_ids: Sequence[int] | None, after: str, limit: int) -> list[App]:
    rows = await connection.fetch(
        f"""SELECT {_APP} FROM apps WHERE ($1::bigint[] IS NULL OR team_id = ANY($1)) AND name > $2
            ORDER BY name LIMIT $3""",  # noqa: S608
        None if team_ids is None else list(team_ids), after, limit,
    )  # fmt: skip
    return [_app(row) for row in rows]


async def list_ids(connection: Connection, team_ids: Sequence[int]) -> list[tuple[int, int | None]]:
    """Each environment of these teams' apps as (app, environment); (app, None) of an app without one."""
    rows = await connection.fetch(
        """SELECT a.id AS app, e.id AS environment FROM apps a LEFT JOIN environments e ON e.app_id = a.id
           WHERE a.team_id = ANY($1::bigint[])""",
        list(team_ids),
    )
    return [(row["app"], row["environment"]) for row in rows]


async def update_app(connection: Connection, app_id: int, repository: str, branch: str, base_directory: str) -> App:
    row = await connection.fetchrow(
        f"""UPDATE apps SET repository = $2, branch = $3, base_directory = $4 WHERE id = $1
            RETURNING {_APP}""",  # noqa: S608
        app_id, repository, branch, base_directory,
    )  # fmt: skip
    if row is None:
        raise NotFound("That app is gone.")
    return _app(row)


async def mark_app_deleting(connection: Connection, app_id: int) -> None:
    await connection.execute("UPDATE apps SET deleting_at = coalesce(deleting_at, now()) WHERE id = $1", app_id)
    await connection.execute(
        "UPDATE environments SET deleting_at = coalesce(deleting_at, now()) WHERE app_id = $1", app_id
    )


async def delete_app(connection: Connection, app_id: int) -> None:
    await connection.execute("DELETE FROM apps WHERE id = $1", app_id)


async def list_deleting(connection: Connection) -> tuple[list[App], list[Environment]]:
    apps = await connection.fetch(f"SELECT {_APP} FROM apps WHERE deleting_at IS NOT NULL ORDER BY id")  # noqa: S608
    environments = await connection.fetch(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE deleting_at IS NOT NULL ORDER BY id"  # noqa: S608
    )
    return [_app(row) for row in apps], [_environment(row) for row in environments]


async def insert_environment(
    connection: Connection, app_id: int, name: str, branch: str | None, places: int
) -> Environment:
    """Give the environment the smallest free place, of `places`."""
    # Places are given out one at a time, so that two environments never get the same.
    await connection.execute("LOCK TABLE environments IN SHARE ROW EXCLUSIVE MODE")
    place = await connection.fetchval(
        """SELECT n FROM generate_series(1, $1::integer) AS n
           WHERE NOT EXISTS (SELECT 1 FROM environments WHERE place = n) ORDER BY n LIMIT 1""",
        places,
    )
    if place is None:
        raise Conflict(f"This box has ports for {places} environments, and all are taken. Delete one that is unused.")
    try:
        row = await connection.fetchrow(
            f"""INSERT INTO environments (app_id, name, branch, place) VALUES ($1, $2, $3, $4)
                RETURNING {_ENVIRONMENT}""",  # noqa: S608
            app_id, name, branch, place,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Conflict(f"The app has an environment named {name} already.", field="name") from error
    assert row is not None
    return _environment(row)


async def find_environment(connection: Connection, app_id: int, name: str) -> Environment | None:
    row = await connection.fetchrow(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE app_id = $1 AND name = $2",  # noqa: S608
        app_id, name,
    )  # fmt: skip
    return _environment(row) if row else None


async def get_environment_by_id(connection: Connection, environment_id: int) -> Environment:
    row = await connection.fetchrow(f"SELECT {_ENVIRONMENT} FROM environments WHERE id = $1", environment_id)  # noqa: S608
    if row is None:
        raise NotFound("That environment is gone.")
    return _environment(row)


async def list_environments(connection: Connection, app_id: int) -> list[Environment]:
    rows = await connection.fetch(
        f"SELECT {_ENVIRONMENT} FROM environments WHERE app_id = $1 ORDER BY id",  # noqa: S608
        app_id,
    )
    return [_environment(row) for row in rows]


async def list_all_environments(connection: Connection) -> list[Environment]:
    rows = await connection.fetch(f"SELECT {_ENVIRONMENT} FROM environments ORDER BY id")  # noqa: S608
    return [_environment(row) for row in rows]


async def mark_environment_deleting(connection: Connection, environment_id: int) -> None:
    await connection.execute(
        "UPDATE environments SET deleting_at = coalesce(deleting_at, now()) WHERE id = $1", environment_id
    )


async def delete_environment(connection: Connection, environment_id: int) -> None:
    # The deployments and releases refer to builds and to each other: they go first, in that order.
    await connection.execute("DELETE FROM deployments WHERE environment_id = $1", environment_id)
    await connection.execute("DELETE FROM slots WHERE environment_id = $1", environment_id)
    await connection.execute("DELETE FROM releases WHERE environment_id = $1", environment_id)
    await connection.execute("DELETE FROM environments WHERE id = $1", environment_id)


async def update_settings(connection: Connection, environment_id: int, settings: EnvironmentSettings) -> Environment:
    row = await connection.fetchrow(
        f"UPDATE environments SET settings = $2 WHERE id = $1 RETURNING {_ENVIRONMENT}",  # noqa: S608
        environment_id, msgspec.to_builtins(settings),
    )  # fmt: skip
    if row is None:
        raise NotFound("That environment is gone.")
    return _environment(row)


async def update_branch(connection: Connection, environment_id: int, branch: str | None) -> None:
    await connection.execute("UPDATE environments SET branch = $2 WHERE id = $1", environment_id, branch)


async def update_scale(connection: Connection, environment_id: int, counts: dict[str, int]) -> Environment:
    """Change the counts of some processes; those of others stay as they are, whoever changes them meanwhile."""
    row = await connection.fetchrow(
        f"UPDATE environments SET scale = scale || $2 WHERE id = $1 RETURNING {_ENVIRONMENT}",  # noqa: S608
        environment_id, counts,
    )  # fmt: skip
    if row is None:
        raise NotFound("That environment is gone.")
    return _environment(row)


async def next_generation(connection: Connection, environment_id: int) -> int:
    value: int | None = await connection.fetchval(
        "UPDATE environments SET generation = generation + 1 WHERE id = $1 RETURNING generation", environment_id
    )
    if value is None:
        raise NotFound("That environment is gone.")
    return value


async def list_variables(connection: Connection, environment_id: int) -> list[SealedVariable]:
    rows = await connection.fetch(
        "SELECT key, value, secret, updated_at FROM variables WHERE environment_id = $1 ORDER BY key", environment_id
    )
    return [msgspec.convert(dict(row), SealedVariable) for row in rows]


async def put_variable(
    connection: Connection, environment_id: int, key: str, value: bytes, secret: bool | None, new_is_secret: bool
) -> None:
    """`secret` None: as it was, and `new_is_secret` where it is new."""
    await connection.execute(
        """INSERT INTO variables (environment_id, key, value, secret) VALUES ($1, $2, $3, coalesce($4::boolean, $5))
           ON CONFLICT (environment_id, key)
           DO UPDATE SET value = $3, secret = coalesce($4, variables.secret), updated_at = now()""",
        environment_id, key, value, secret, new_is_secret,
    )  # fmt: skip


async def delete_variables(connection: Connection, environment_id: int, keys: Iterable[str]) -> list[str]:
    rows = await connection.fetch(
        "DELETE FROM variables WHERE environment_id = $1 AND key = ANY($2::text[]) RETURNING key",
        environment_id, list(keys),
    )  # fmt: skip
    return [row["key"] for row in rows]
