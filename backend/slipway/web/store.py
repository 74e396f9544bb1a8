"""Answers of creating requests, kept for their Idempotency-Key."""

from datetime import timedelta

import msgspec

from slipway.db import Connection

KEPT = timedelta(hours=24)


class KeptAnswer(msgspec.Struct, frozen=True):
    """`status` is None while the first request is under way, and for ever where its end could not be recorded."""

    request_hash: bytes
    status: int | None
    body: bytes | None


async def claim_key(connection: Connection, account_id: int, key: str, request_hash: bytes) -> KeptAnswer | None:
    """Take a key for a request. → None when it is ours now, else what the first request left."""
    await connection.execute("DELETE FROM idempotency_keys WHERE created_at < now() - $1::interval", KEPT)
    while True:
        taken = await connection.fetchval(
            """INSERT INTO idempotency_keys (account_id, key, request_hash) VALUES ($1, $2, $3)
               ON CONFLICT DO NOTHING RETURNING true""",
            account_id, key, request_hash,
        )  # fmt: skip
        if taken:
            return None
        row = await connection.fetchrow(
            "SELECT request_hash, status, body FROM idempotency_keys WHERE account_id = $1 AND key = $2",
            account_id, key,
        )  # fmt: skip
        if row is not None:
            return KeptAnswer(**dict(row))
        # Gone between the two statements: the other request was just refused, and its key is free again.


async def keep_answer(connection: Connection, account_id: int, key: str, status: int, body: bytes) -> None:
    await connection.execute(
        "UPDATE idempotency_keys SET status = $3, body = $4 WHERE account_id = $1 AND key = $2",
        account_id, key, status, body,
    )  # fmt: skip


async def release_key(connection: Connection, account_id: int, key: str) -> None:
    await connection.execute(
        "DELETE FROM idempotency_keys WHERE account_id = $1 AND key = $2 AND status IS NULL", account_id, key
    )
