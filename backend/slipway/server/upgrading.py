"""An upgrade that fails leaves the database as it was: the old release does not read a newer schema."""

import contextlib
from collections.abc import Iterator

from slipway.db.migrations import read_migrations
from slipway.errors import SlipwayError
from slipway.settings import Settings
from slipway.setup import postgresql
from slipway.setup.world import World, run_in

_NAME, _BEFORE = "slipway", "slipway_before_upgrade"
_END_SESSIONS = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = 'slipway'"
"""Waits for each, up to 5 s."""


@contextlib.contextmanager
def put_back_on_failure(world: World, settings: Settings) -> Iterator[None]:
    """Around all that may fail. Where migrations are to run, a copy of the database is kept until it is over.

    From the copy on, only the new release writes: what the old one could still write would be lost with it.
    """
    own = f"slipway-{settings.id}"
    run_in(world, [*world.systemctl, "start", f"{own}-postgresql.service"])
    if not _has_migrations_to_run(world, settings):
        yield
        return
    _sql(world, settings, f"DROP DATABASE IF EXISTS {_BEFORE} WITH (FORCE)", _close(_NAME), _END_SESSIONS)
    try:
        _sql(world, settings, f"CREATE DATABASE {_BEFORE} TEMPLATE {_NAME} OWNER slipway")
        # The code is the new release's by now; it waits for its schema.
        run_in(world, [*world.systemctl, "restart", "--no-block", f"{own}-daemon.service"])
    finally:
        _sql(world, settings, _open(_NAME))
    try:
        yield
    except SlipwayError:
        _sql(world, settings, _close(_NAME), f"DROP DATABASE {_NAME} WITH (FORCE)")
        _sql(world, settings, f"ALTER DATABASE {_BEFORE} RENAME TO {_NAME}", _open(_NAME))
        raise
    _sql(world, settings, f"DROP DATABASE {_BEFORE}")


def _has_migrations_to_run(world: World, settings: Settings) -> bool:
    found = _sql(world, settings, "SELECT to_regclass('schema_migrations') IS NOT NULL", database=_NAME)
    if found != "t":
        return False  # it was never used: nothing to keep
    applied = _sql(world, settings, "SELECT count(*) FROM schema_migrations", database=_NAME)
    return int(applied) < len(read_migrations(settings.paths.current / "migrations"))


def _close(database: str) -> str:
    return f"ALTER DATABASE {database} ALLOW_CONNECTIONS false"


def _open(database: str) -> str:
    return f"ALTER DATABASE {database} ALLOW_CONNECTIONS true"


def _sql(world: World, settings: Settings, *statements: str, database: str = "postgres") -> str:
    """Each in a transaction of its own, as the cluster's administrator; → what they answered."""
    psql = [str(postgresql.binaries(settings) / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align"]
    options = ["--set=ON_ERROR_STOP=1", f"--host={settings.paths.postgresql}", "--username=postgres"]
    commands = [f"--command={statement}" for statement in statements]
    return run_in(world, [*psql, *options, f"--dbname={database}", *commands]).strip()
