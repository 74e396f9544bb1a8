"""Certificates in PostgreSQL. Chains and keys are not here: the host agent keeps them where nginx reads them."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg
import msgspec

from slipway.certificates.models import Certificate, Served
from slipway.db import Connection

_CERTIFICATE = """id, hostname, environment_id, state, reason, failures, tried_at, next_try_at, issuer, serial,
                  not_before, not_after, digest, renewals"""


def _certificate(row: asyncpg.Record) -> Certificate:
    return msgspec.convert(dict(row), Certificate)


async def list_all(connection: Connection) -> list[Certificate]:
    rows = await connection.fetch(f"SELECT {_CERTIFICATE} FROM certificates ORDER BY id")  # noqa: S608
    return [_certificate(row) for row in rows]


async def list_served(connection: Connection) -> list[Served]:
    """Every environment that is not being deleted; served is one whose live release answers requests."""
    rows = await connection.fetch(
        """SELECT e.id AS environment_id, e.name AS environment, a.id AS app_id, a.name AS app, a.team_id,
                  EXISTS (SELECT 1 FROM slots s JOIN releases r ON r.id = s.release_id
                          JOIN builds b ON b.id = r.build_id
                          WHERE s.environment_id = e.id AND s.role = 'live'
                            AND (r.processes ? 'web' OR b.plan ->> 'public_folder' IS NOT NULL)) AS is_served
           FROM environments e JOIN apps a ON a.id = e.app_id
           WHERE e.deleting_at IS NULL AND a.deleting_at IS NULL ORDER BY e.id"""
    )
    return [msgspec.convert(dict(row), Served) for row in rows]


async def find_by_hostname(connection: Connection, hostname: str) -> Certificate | None:
    row = await connection.fetchrow(
        f"SELECT {_CERTIFICATE} FROM certificates WHERE hostname = $1",  # noqa: S608
        hostname,
    )
    return _certificate(row) if row else None


async def find_next(connection: Connection) -> Certificate | None:
    """What an attempt was interrupted for, else what is to be tried first."""
    row = await connection.fetchrow(
        f"SELECT {_CERTIFICATE} FROM certificates ORDER BY state <> 'obtaining', next_try_at, id LIMIT 1"  # noqa: S608
    )
    return _certificate(row) if row else None


async def want(connection: Connection, hostname: str, environment_id: int | None) -> None:
    """Have one obtained for a hostname; one that is there is now this environment's."""
    await connection.execute(
        """INSERT INTO certificates (hostname, environment_id) VALUES ($1, $2)
           ON CONFLICT (hostname) DO UPDATE SET environment_id = $2""",
        hostname, environment_id,
    )  # fmt: skip


async def want_again(connection: Connection, hostname: str) -> None:
    """Its files are gone."""
    await connection.execute(
        """UPDATE certificates SET next_try_at = now(), issuer = NULL, serial = NULL, not_before = NULL,
                  not_after = NULL, digest = NULL, state = 'wanted' WHERE hostname = $1 AND not_after IS NOT NULL""",
        hostname,
    )


async def delete(connection: Connection, certificate_ids: Iterable[int]) -> None:
    await connection.execute("DELETE FROM certificates WHERE id = ANY($1::bigint[])", list(certificate_ids))


async def try_at(connection: Connection, certificate_id: int, moment: datetime) -> None:
    await connection.execute("UPDATE certificates SET next_try_at = $2 WHERE id = $1", certificate_id, moment)


async def begin(connection: Connection, certificate_id: int, now: datetime) -> None:
    await connection.execute(
        "UPDATE certificates SET state = 'obtaining', tried_at = $2 WHERE id = $1", certificate_id, now
    )


async def fail(connection: Connection, certificate_id: int, reason: str, failures: int, next_try_at: datetime) -> None:
    await connection.execute(
        "UPDATE certificates SET state = 'failed', reason = $2, failures = $3, next_try_at = $4 WHERE id = $1",
        certificate_id, reason, failures, next_try_at,
    )  # fmt: skip


async def succeed(
    connection: Connection,
    certificate_id: int,
    issuer: str,
    serial: str,
    not_before: datetime,
    not_after: datetime,
    digest: str,
    next_try_at: datetime,
) -> None:
    await connection.execute(
        """UPDATE certificates SET state = 'valid', reason = NULL, failures = 0, issuer = $2, serial = $3,
                  not_before = $4, not_after = $5, digest = $6, next_try_at = $7,
                  renewals = renewals + CASE WHEN serial IS NULL OR serial = $3 THEN 0 ELSE 1 END
           WHERE id = $1""",
        certificate_id, issuer, serial, not_before, not_after, digest, next_try_at,
    )  # fmt: skip
