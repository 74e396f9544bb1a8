"""Figures in PostgreSQL."""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import asyncpg

from slipway.db import Connection
from slipway.growing import Position
from slipway.metrics.models import Answers, BoxPoint, BoxRow, BoxUsed, Level, Partition, Piece, Point, Row, Used

ENVIRONMENTS = "environment_figures"
BOX = "box_figures"
TABLES = (ENVIRONMENTS, BOX)

_TRAFFIC = {
    "requests": "integer", "answers_2xx": "integer", "answers_3xx": "integer", "answers_4xx": "integer",
    "answers_5xx": "integer", "answer_seconds": "double precision", "slowest_seconds": "double precision",
}  # fmt: skip
_COUNTED = {"samples": "integer", "measured_seconds": "double precision", "cpu_seconds": "double precision"}
_COLUMNS = {
    ENVIRONMENTS: _COUNTED | {
        "read_bytes": "bigint", "written_bytes": "bigint", "oom_kills": "integer", "memory": "bigint",
        "memory_most": "bigint", "tasks_most": "integer",
    } | _TRAFFIC,
    BOX: _COUNTED | {
        "received_bytes": "bigint", "sent_bytes": "bigint", "memory": "bigint", "memory_most": "bigint",
        "swap": "bigint", "disk": "bigint", "load": "double precision",
    } | _TRAFFIC,
}  # fmt: skip
"""Of each table, besides environment, step and moment: their types."""
_MOSTS = frozenset({"memory_most", "tasks_most", "slowest_seconds"})
_MEANS = frozenset({"memory", "swap", "disk", "load"})
_KEYS = {ENVIRONMENTS: ("environment_id", "step", "at"), BOX: ("step", "at")}


def _together(column: str, kind: str) -> str:
    """The expression that makes one row's column of many rows'."""
    if column in _MOSTS:
        return f"max({column})::{kind}"
    if column in _MEANS:
        # Of rows in which nothing was looked at there is no mean.
        return f"coalesce(sum({column}::double precision * samples) / nullif(sum(samples), 0), 0)::{kind}"
    return f"sum({column})::{kind}"


def _merged(column: str, kind: str) -> str:
    """The expression that makes a row that is there (`f`) and one that comes (`excluded`) one."""
    if column in _MOSTS:
        return f"{column} = greatest(f.{column}, excluded.{column})"
    if column in _MEANS:
        sums = f"f.{column}::double precision * f.samples + excluded.{column}::double precision * excluded.samples"
        return f"{column} = coalesce(({sums}) / nullif(f.samples + excluded.samples, 0), 0)::{kind}"
    return f"{column} = f.{column} + excluded.{column}"


def _insert(table: str) -> str:
    keys, columns = _KEYS[table], _COLUMNS[table]
    types = {"environment_id": "bigint", "step": "smallint", "at": "timestamptz"} | columns
    names = [*keys, *columns]
    arrays = ", ".join(f"${number}::{types[name]}[]" for number, name in enumerate(names, 1))
    merged = ", ".join(_merged(name, kind) for name, kind in columns.items())
    return f"""INSERT INTO {table} AS f ({", ".join(names)}) SELECT * FROM unnest({arrays})
               ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {merged}"""  # noqa: S608 - constants of this module


def _roll_up(table: str) -> str:
    """$1 from this step, $2 to that one, as $3 seconds, of the time from $4 to $5."""
    keys, columns = _KEYS[table], _COLUMNS[table]
    of = "environment_id, " if "environment_id" in keys else ""
    together = ", ".join(_together(name, kind) for name, kind in columns.items())
    anew = ", ".join(f"{name} = excluded.{name}" for name in columns)
    return f"""INSERT INTO {table} ({", ".join([*keys, *columns])})
               SELECT {of}$2::smallint, date_bin($3::interval, at, 'epoch'::timestamptz) AS began, {together}
               FROM {table} WHERE step = $1 AND at >= $4 AND at < $5 GROUP BY {of}began
               ON CONFLICT ({", ".join(keys)}) DO UPDATE SET {anew}"""  # noqa: S608 - constants of this module


_INSERT = {table: _insert(table) for table in TABLES}
_ROLL_UP = {table: _roll_up(table) for table in TABLES}


async def insert_environments(connection: Connection, rows: Sequence[Row]) -> None:
    """Rows as sampled. One that is there already is added to."""
    nothing = Used()
    used = [row.used or nothing for row in rows]
    traffic = [row.traffic for row in rows]
    await connection.execute(
        _INSERT[ENVIRONMENTS],
        [row.environment_id for row in rows], [0] * len(rows), [row.at for row in rows],
        [int(row.used is not None) for row in rows],
        [one.measured_seconds for one in used], [one.cpu_seconds for one in used],
        [one.read_bytes for one in used], [one.written_bytes for one in used],
        [one.oom_kills + row.kills for one, row in zip(used, rows, strict=True)],
        [one.memory for one in used], [one.memory for one in used], [one.tasks for one in used],
        *([getattr(one, column) for one in traffic] for column in _TRAFFIC),
    )  # fmt: skip


async def insert_box(connection: Connection, rows: Sequence[BoxRow]) -> None:
    nothing = BoxUsed()
    used = [row.used or nothing for row in rows]
    traffic = [row.traffic for row in rows]
    await connection.execute(
        _INSERT[BOX],
        [0] * len(rows), [row.at for row in rows], [int(row.used is not None) for row in rows],
        [one.measured_seconds for one in used], [one.cpu_seconds for one in used],
        [one.received_bytes for one in used], [one.sent_bytes for one in used],
        [one.memory for one in used], [one.memory for one in used], [one.swap for one in used],
        [one.disk for one in used], [one.load for one in used],
        *([getattr(one, column) for one in traffic] for column in _TRAFFIC),
    )  # fmt: skip


# ---- steps -----------------------------------------------------------------------------------------------------------


async def roll_up(connection: Connection, finer: Level, coarser: Level, start: datetime, end: datetime) -> None:
    """Make the coarser step's rows of a time anew, of the finer's. In a transaction, with `put_rolled_up`."""
    for table in TABLES:
        step = timedelta(seconds=coarser.step)
        await connection.execute(_ROLL_UP[table], finer.step, coarser.step, step, start, end)


async def rolled_up(connection: Connection) -> dict[int, datetime]:
    """Step → up to where it is made."""
    rows = await connection.fetch("SELECT step, until FROM figures_rolled_up")
    return {row["step"]: row["until"] for row in rows}


async def put_rolled_up(connection: Connection, step: int, until: datetime) -> None:
    await connection.execute(
        """INSERT INTO figures_rolled_up (step, until) VALUES ($1, $2)
           ON CONFLICT (step) DO UPDATE SET until = excluded.until""",
        step, until,
    )  # fmt: skip


# ---- the access log --------------------------------------------------------------------------------------------------


async def find_position(connection: Connection) -> Position | None:
    row = await connection.fetchrow('SELECT inode, "offset" FROM access_log_position')
    return Position(row["inode"], row["offset"]) if row else None


async def put_position(connection: Connection, position: Position) -> None:
    await connection.execute(
        """INSERT INTO access_log_position (inode, "offset") VALUES ($1, $2)
           ON CONFLICT (only_row) DO UPDATE SET inode = excluded.inode, "offset" = excluded."offset" """,
        position.inode, position.offset,
    )  # fmt: skip


# ---- partitions ------------------------------------------------------------------------------------------------------


async def list_partitions(connection: Connection, level: Level) -> set[Partition]:
    rows = await connection.fetch(
        """SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
           WHERE i.inhparent = ANY($1::text[]::regclass[])""",
        [f"{table}_{level.name}" for table in TABLES],
    )
    return {Partition.named(row["relname"]) for row in rows}


async def make_partitions(connection: Connection, partitions: Iterable[Partition], width: timedelta) -> None:
    for one in sorted(partitions):
        # Bounds cannot be parameters; these are formatted here and hold digits only.
        await connection.execute(
            f"CREATE TABLE IF NOT EXISTS {one.name} PARTITION OF {one.table} "
            f"FOR VALUES FROM ('{one.start.isoformat()}') TO ('{(one.start + width).isoformat()}')"
        )


async def drop_partition(connection: Connection, partition: Partition) -> None:
    await connection.execute(f"DROP TABLE IF EXISTS {partition.name}")


# ---- looking ---------------------------------------------------------------------------------------------------------


async def list_points(connection: Connection, environment_id: int, pieces: Sequence[Piece], step: int) -> list[Point]:
    rows = await _fetch(connection, ENVIRONMENTS, "environment_id = $2 AND ", pieces, step, environment_id)
    return [
        Point(
            at=row["began"],
            cpu=_rate(row, "cpu_seconds"),
            memory=_held(row, "memory"),
            memory_most=_held(row, "memory_most"),
            tasks=_held(row, "tasks_most"),
            read_bytes=_rate(row, "read_bytes"),
            written_bytes=_rate(row, "written_bytes"),
            oom_kills=row["oom_kills"],
            answers=_answers(row),
        )
        for row in rows
    ]


async def list_box_points(connection: Connection, pieces: Sequence[Piece], step: int) -> list[BoxPoint]:
    rows = await _fetch(connection, BOX, "", pieces, step)
    return [
        BoxPoint(
            at=row["began"],
            cpu=_rate(row, "cpu_seconds"),
            memory=_held(row, "memory"),
            memory_most=_held(row, "memory_most"),
            swap=_held(row, "swap"),
            disk=_held(row, "disk"),
            load=_held(row, "load"),
            received_bytes=_rate(row, "received_bytes"),
            sent_bytes=_rate(row, "sent_bytes"),
            answers=_answers(row),
        )
        for row in rows
    ]


async def _fetch(
    connection: Connection, table: str, which: str, pieces: Sequence[Piece], step: int, *which_values: Any
) -> list[asyncpg.Record]:
    """Rows of each piece's level, put together to the step that is asked for."""
    if not pieces:
        return []
    values: list[Any] = [timedelta(seconds=step), *which_values]
    parts = []
    for piece in pieces:
        first = len(values) + 1
        parts.append(f"SELECT * FROM {table} WHERE {which}step = ${first} AND at >= ${first + 1} AND at < ${first + 2}")  # noqa: S608
        values += [piece.step, piece.start, piece.end]
    together = ", ".join(f"{_together(name, kind)} AS {name}" for name, kind in _COLUMNS[table].items())
    return await connection.fetch(
        f"""SELECT date_bin($1::interval, at, 'epoch'::timestamptz) AS began, {together}
            FROM ({" UNION ALL ".join(parts)}) AS pieces GROUP BY began ORDER BY began""",  # noqa: S608
        *values,
    )


def _rate(row: asyncpg.Record, column: str) -> float | None:
    """A second; None where what was used is not known."""
    return row[column] / row["measured_seconds"] if row["measured_seconds"] else None


def _held(row: asyncpg.Record, column: str) -> Any:
    return row[column] if row["samples"] else None


def _answers(row: asyncpg.Record) -> Answers:
    requests = row["requests"]
    return Answers(
        requests=requests,
        ok=row["answers_2xx"],
        redirects=row["answers_3xx"],
        client_errors=row["answers_4xx"],
        server_errors=row["answers_5xx"],
        seconds=row["answer_seconds"] / requests if requests else None,
        slowest_seconds=row["slowest_seconds"] if requests else None,
    )
