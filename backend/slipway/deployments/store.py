"""Deployments in PostgreSQL: state moves by compare-and-set only."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import asyncpg
import msgspec

from slipway.db import Connection
from slipway.deployments.models import PHASES, Deployment, Kind, Phase, State
from slipway.errors import NotFound

_DEPLOYMENT = """d.id, d.environment_id, d.kind, d.state, d.branch, d.commit, d.commit_subject, d.commit_author,
                 d.target_release, d.generation, d.build_id, d.release_id, r.number AS release_number, d.slot,
                 d.release_command, d.cancel_asked_at, d.undone_by, d.reason, d.requested_by, d.trigger,
                 d.created_at, d.started_at, d.ended_at"""
_FROM = "FROM deployments d LEFT JOIN releases r ON r.id = d.release_id"
_ACTIVE = [state.value for state in PHASES]
_COLUMNS = frozenset({"commit", "commit_subject", "commit_author", "build_id", "release_id", "slot", "release_command"})


def _deployment(row: asyncpg.Record) -> Deployment:
    return msgspec.convert(dict(row), Deployment)


async def insert(
    connection: Connection,
    environment_id: int,
    kind: Kind,
    *,
    branch: str | None,
    commit: str | None,
    target_release: int | None,
    requested_by: int | None,
    trigger: str,
) -> Deployment:
    deployment_id: int = await connection.fetchval(
        """INSERT INTO deployments (environment_id, kind, state, branch, commit, target_release, requested_by, trigger)
           VALUES ($1, $2, 'queued', $3, $4, $5, $6, $7) RETURNING id""",
        environment_id, kind.value, branch, commit, target_release, requested_by, trigger,
    )  # fmt: skip
    return await get(connection, deployment_id)


async def get(connection: Connection, deployment_id: int) -> Deployment:
    row = await connection.fetchrow(f"SELECT {_DEPLOYMENT} {_FROM} WHERE d.id = $1", deployment_id)
    if row is None:
        raise NotFound(f"There is no deployment {deployment_id}.")
    return _deployment(row)


async def list_of_app(
    connection: Connection, app_id: int, environment_id: int | None, before: int | None, limit: int
) -> list[Deployment]:
    rows = await connection.fetch(
        f"""SELECT {_DEPLOYMENT} {_FROM} JOIN environments e ON e.id = d.environment_id
            WHERE e.app_id = $1 AND ($2::bigint IS NULL OR d.environment_id = $2) AND d.id < $3
            ORDER BY d.id DESC LIMIT $4""",
        app_id, environment_id, before or 2**62, limit,
    )  # fmt: skip
    return [_deployment(row) for row in rows]


async def list_of_teams(connection: Connection, deployment_ids: Sequence[int], team_ids: Sequence[int]) -> list[int]:
    """Which of these deployments are of apps of these teams."""
    rows = await connection.fetch(
        """SELECT d.id FROM deployments d JOIN environments e ON e.id = d.environment_id JOIN apps a ON a.id = e.app_id
           WHERE d.id = ANY($1::bigint[]) AND a.team_id = ANY($2::bigint[])""",
        list(deployment_ids), list(team_ids),
    )  # fmt: skip
    return [row["id"] for row in rows]


async def latest(connection: Connection, environment_ids: Sequence[int]) -> dict[int, Deployment]:
    rows = await connection.fetch(
        f"""SELECT {_DEPLOYMENT} FROM unnest($1::bigint[]) AS wanted (id)
            CROSS JOIN LATERAL (SELECT * FROM deployments WHERE environment_id = wanted.id
                                ORDER BY id DESC LIMIT 1) d
            LEFT JOIN releases r ON r.id = d.release_id""",  # noqa: S608
        list(environment_ids),
    )
    return {row["environment_id"]: _deployment(row) for row in rows}


async def list_open(connection: Connection) -> list[Deployment]:
    """Everything that has not ended, oldest first."""
    rows = await connection.fetch(
        f"""SELECT {_DEPLOYMENT} {_FROM}
            WHERE d.state NOT IN ('live', 'failed', 'cancelled', 'superseded') ORDER BY d.id"""
    )
    return [_deployment(row) for row in rows]


async def list_open_of(connection: Connection, environment_id: int) -> list[Deployment]:
    rows = await connection.fetch(
        f"""SELECT {_DEPLOYMENT} {_FROM} WHERE d.environment_id = $1
            AND d.state NOT IN ('live', 'failed', 'cancelled', 'superseded') ORDER BY d.id""",
        environment_id,
    )
    return [_deployment(row) for row in rows]


async def list_ended_among(connection: Connection, environment_id: int, ids: Iterable[int]) -> set[int]:
    """Which of these are deployments of an environment that have ended."""
    rows = await connection.fetch(
        """SELECT id FROM deployments WHERE environment_id = $1 AND id = ANY($2::bigint[])
            AND state IN ('live', 'failed', 'cancelled', 'superseded')""",
        environment_id, list(ids),
    )  # fmt: skip
    return {row["id"] for row in rows}


async def find_live(connection: Connection, release_id: int) -> Deployment | None:
    """The newest deployment that put a release live."""
    row = await connection.fetchrow(
        f"SELECT {_DEPLOYMENT} {_FROM} WHERE d.release_id = $1 AND d.state = 'live' ORDER BY d.id DESC LIMIT 1",
        release_id,
    )
    return _deployment(row) if row else None


async def find_serving(connection: Connection, environment_id: int, at: datetime | None) -> Deployment | None:
    """The deployment that had put live what was live at a time; None: now."""
    row = await connection.fetchrow(
        f"""SELECT {_DEPLOYMENT} {_FROM} WHERE d.environment_id = $1 AND d.state = 'live'
            AND ($2::timestamptz IS NULL OR d.ended_at <= $2) ORDER BY d.ended_at DESC, d.id DESC LIMIT 1""",
        environment_id, at,
    )  # fmt: skip
    return _deployment(row) if row else None


async def find_number_before(connection: Connection, environment_id: int, number: int) -> int | None:
    """The newest release older than `number` that was live, is kept, and was not taken back as bad."""
    found: int | None = await connection.fetchval(
        """SELECT max(r.number) FROM releases r
           WHERE r.environment_id = $1 AND r.number < $2 AND r.pruned_at IS NULL
             AND EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.state = 'live')
             AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.undone_by IS NOT NULL)""",
        environment_id, number,
    )  # fmt: skip
    return found


async def begin(connection: Connection, deployment_id: int, phase: State, generation: int) -> Deployment | None:
    """queued → its first phase; None where it is not queued any more or its environment is being deleted."""
    row = await connection.fetchrow(
        "UPDATE deployments d SET state = $2, generation = $3, started_at = now() FROM environments e "
        "WHERE d.id = $1 AND d.state = 'queued' AND e.id = d.environment_id AND e.deleting_at IS NULL RETURNING d.id",
        deployment_id, phase.value, generation,
    )  # fmt: skip
    if row is None:
        return None
    await _open_phase(connection, deployment_id, phase)
    return await get(connection, deployment_id)


async def move(
    connection: Connection, deployment: Deployment, to: State, reason: str | None = None
) -> Deployment | None:
    """From the state it is known in to another; None where it has moved meanwhile. Closes the phase, opens the next."""
    row = await connection.fetchrow(
        """UPDATE deployments SET state = $3, reason = coalesce($4, reason),
               ended_at = CASE WHEN $5 THEN now() ELSE ended_at END
           WHERE id = $1 AND state = $2 RETURNING id""",
        deployment.id, deployment.state.value, to.value, reason, to.ended,
    )  # fmt: skip
    if row is None:
        return None
    await connection.execute(
        "UPDATE deployment_phases SET ended_at = now(), reason = $2 WHERE deployment_id = $1 AND ended_at IS NULL",
        deployment.id, reason,
    )  # fmt: skip
    if not to.ended:
        await _open_phase(connection, deployment.id, to)
    return await get(connection, deployment.id)


async def _open_phase(connection: Connection, deployment_id: int, phase: State) -> None:
    await connection.execute(
        "INSERT INTO deployment_phases (deployment_id, phase) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        deployment_id, phase.value,
    )  # fmt: skip


async def record(connection: Connection, deployment_id: int, **columns: Any) -> Deployment:
    """Set columns of what was found out on the way."""
    assert columns.keys() <= _COLUMNS, "only what a phase finds out"
    assignments = ", ".join(f"{name} = ${n}" for n, name in enumerate(columns, start=2))
    await connection.execute(
        f"UPDATE deployments SET {assignments} WHERE id = $1",  # noqa: S608 - names from _COLUMNS
        deployment_id, *columns.values(),
    )  # fmt: skip
    return await get(connection, deployment_id)


async def supersede_queued(connection: Connection, newer: Deployment) -> list[int]:
    """End the queued deployments that a newer one makes pointless; → their ids.

    A deploy replaces those of its branch and pending changes of variables or settings (it takes them along); a
    change replaces earlier changes; a rollback goes before everything.
    """
    rows = await connection.fetch(
        """UPDATE deployments SET state = 'superseded', ended_at = now(), reason = $5
           WHERE environment_id = $1 AND id < $2 AND state = 'queued'
             AND ($3 = 'rollback' OR kind IN ('variables', 'settings')
                  OR ($3 = 'deploy' AND kind = 'deploy' AND branch IS NOT DISTINCT FROM $4))
           RETURNING id""",
        newer.environment_id, newer.id, newer.kind.value, newer.branch,
        f"Deployment {newer.id} was asked for before this one began, and took its place.",
    )  # fmt: skip
    return [row["id"] for row in rows]


async def ask_cancel(connection: Connection, deployment_id: int) -> Deployment:
    await connection.execute(
        """UPDATE deployments SET cancel_asked_at = coalesce(cancel_asked_at, now())
           WHERE id = $1 AND state = ANY($2::text[])""",
        deployment_id, _ACTIVE,
    )  # fmt: skip
    return await get(connection, deployment_id)


async def list_phases(connection: Connection, deployment_id: int) -> list[Phase]:
    rows = await connection.fetch(
        """SELECT phase, started_at, ended_at, reason FROM deployment_phases
           WHERE deployment_id = $1 ORDER BY started_at""",
        deployment_id,
    )
    return [msgspec.convert(dict(row), Phase) for row in rows]


async def judge(connection: Connection, deployment_id: int, reason: str) -> None:
    """Say of a live deployment why it was bad."""
    await connection.execute("UPDATE deployments SET reason = $2 WHERE id = $1", deployment_id, reason)


async def mark_undone(connection: Connection, deployment_id: int, rollback: int) -> None:
    """Which automatic rollback takes a bad deployment back."""
    await connection.execute("UPDATE deployments SET undone_by = $2 WHERE id = $1", deployment_id, rollback)


async def find_undone_by(connection: Connection, rollback: int) -> Deployment | None:
    """The bad deployment that an automatic rollback takes back; None where a person asked for it."""
    row = await connection.fetchrow(f"SELECT {_DEPLOYMENT} {_FROM} WHERE d.undone_by = $1", rollback)
    return _deployment(row) if row else None


async def list_old(connection: Connection, kept: int) -> list[int]:
    """Ended deployments beyond the newest `kept` of each environment, oldest first.

    Never one that a kept release stands on, nor the rollback that undid another: it may go once the other is gone.
    """
    rows = await connection.fetch(
        """SELECT d.id FROM (SELECT id, release_id, row_number() OVER (PARTITION BY environment_id ORDER BY id DESC)
                             FROM deployments
                             WHERE state IN ('live', 'failed', 'cancelled', 'superseded')) AS d (id, release_id, n)
           WHERE d.n > $1
             AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.id = d.release_id AND r.pruned_at IS NULL)
             AND NOT EXISTS (SELECT 1 FROM deployments other WHERE other.undone_by = d.id)
           ORDER BY d.id""",
        kept,
    )
    return [row["id"] for row in rows]


async def list_ids_of(connection: Connection, environment_id: int) -> list[int]:
    rows = await connection.fetch("SELECT id FROM deployments WHERE environment_id = $1 ORDER BY id", environment_id)
    return [row["id"] for row in rows]


async def delete(connection: Connection, deployment_ids: Sequence[int]) -> None:
    """With their phases, and with what is left of their logs: those may be long, and go before."""
    await connection.execute("DELETE FROM deployments WHERE id = ANY($1::bigint[])", list(deployment_ids))
