"""What should be, for all environments or some, in as many statements for a thousand as for one."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime

import msgspec

from slipway.db import Connection
from slipway.reconcile.models import Known, KnownSlot
from slipway.releases.models import KEPT

_OPEN = "state NOT IN ('live', 'failed', 'cancelled', 'superseded')"


async def list_known(connection: Connection, only: Sequence[int] | None) -> list[Known]:
    rows = await connection.fetch(
        f"""SELECT e.id, e.name, a.name AS app, a.id AS app_id, a.team_id, e.place, e.generation, e.scale,
                  (e.deleting_at IS NOT NULL OR a.deleting_at IS NOT NULL) AS leaving,
                  EXISTS (SELECT 1 FROM deployments d WHERE d.environment_id = e.id AND d.generation IS NOT NULL
                          AND d.{_OPEN}) AS busy
           FROM environments e JOIN apps a ON a.id = e.app_id
           WHERE $1::bigint[] IS NULL OR e.id = ANY($1) ORDER BY e.id""",  # noqa: S608
        _list(only),
    )
    return [msgspec.convert(dict(row), Known) for row in rows]


async def list_slots(connection: Connection, only: Sequence[int] | None) -> dict[int, list[KnownSlot]]:
    rows = await connection.fetch(
        """SELECT s.environment_id, s.number, s.generation, s.role, r.number AS release_number, r.build_id,
                  r.settings, r.processes, b.plan->>'public_folder' AS public_folder
           FROM slots s JOIN releases r ON r.id = s.release_id JOIN builds b ON b.id = r.build_id
           WHERE $1::bigint[] IS NULL OR s.environment_id = ANY($1) ORDER BY s.environment_id, s.number""",
        _list(only),
    )
    found: defaultdict[int, list[KnownSlot]] = defaultdict(list)
    for row in rows:
        found[row["environment_id"]].append(msgspec.convert(dict(row), KnownSlot))
    return found


async def list_kept(connection: Connection, only: Sequence[int] | None) -> dict[int, list[tuple[int, int]]]:
    """Environment → the numbers of releases that are or can again be live, each with its build."""
    rows = await connection.fetch(
        """SELECT r.environment_id, r.number, r.build_id FROM releases r
           WHERE r.pruned_at IS NULL AND ($1::bigint[] IS NULL OR r.environment_id = ANY($1))
             AND (EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.state = 'live')
                  OR EXISTS (SELECT 1 FROM slots s WHERE s.release_id = r.id
                             AND s.role IN ('live', 'standby', 'draining')))
           ORDER BY r.environment_id, r.number""",
        _list(only),
    )
    found: defaultdict[int, list[tuple[int, int]]] = defaultdict(list)
    for row in rows:
        found[row["environment_id"]].append((row["number"], row["build_id"]))
    return found


async def list_unsettled(connection: Connection, only: Sequence[int] | None) -> set[int]:
    """Environments where settling has something to do that only the tables show: slots to free, things to prune."""
    rows = await connection.fetch(
        f"""WITH held AS (
               SELECT release_id AS id FROM slots
               UNION SELECT release_id FROM deployments WHERE release_id IS NOT NULL AND {_OPEN}
               UNION SELECT r.id FROM releases r JOIN deployments d
                   ON d.environment_id = r.environment_id AND d.target_release = r.number AND d.{_OPEN}
           ), kept AS (
               SELECT id FROM (
                   SELECT r.id, row_number() OVER (PARTITION BY r.environment_id ORDER BY r.number DESC) AS n
                   FROM releases r
                   WHERE r.pruned_at IS NULL
                     AND EXISTS (SELECT 1 FROM deployments d WHERE d.release_id = r.id AND d.state = 'live')
                     AND NOT EXISTS (SELECT 1 FROM slots s WHERE s.release_id = r.id AND s.role = 'live')) AS numbered
               WHERE n <= $2
           ), found AS (
               SELECT environment_id FROM slots WHERE role IN ('incoming', 'stopping')
               UNION SELECT environment_id FROM releases WHERE pruned_at IS NULL
                   AND id NOT IN (SELECT id FROM held) AND id NOT IN (SELECT id FROM kept)
               UNION SELECT environment_id FROM releases WHERE pruned_at IS NOT NULL AND variables <> ''
               UNION SELECT environment_id FROM builds WHERE state = 'deleting'
               UNION SELECT environment_id FROM builds b WHERE state NOT IN ('deleting', 'deleted')
                   AND NOT EXISTS (SELECT 1 FROM releases r WHERE r.build_id = b.id AND r.pruned_at IS NULL)
                   AND NOT EXISTS (SELECT 1 FROM deployments d WHERE d.build_id = b.id AND d.{_OPEN}))
           SELECT environment_id FROM found WHERE $1::bigint[] IS NULL OR environment_id = ANY($1)""",  # noqa: S608
        _list(only), KEPT,
    )  # fmt: skip
    return {row["environment_id"] for row in rows}


async def raise_generation(connection: Connection, environment_id: int, generation: int) -> None:
    """Never lower than what the machine has seen."""
    await connection.execute(
        "UPDATE environments SET generation = greatest(generation, $2) WHERE id = $1", environment_id, generation
    )


async def started_at(connection: Connection) -> datetime:
    """When PostgreSQL was started: after another start, another database may be there."""
    at: datetime = await connection.fetchval("SELECT pg_postmaster_start_time()")
    return at


def _list(only: Sequence[int] | None) -> list[int] | None:
    return None if only is None else list(only)
