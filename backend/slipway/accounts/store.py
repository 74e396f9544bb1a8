"""Accounts, setup links, sessions, tokens and failed sign-ins in PostgreSQL."""

from datetime import datetime, timedelta

import asyncpg
import msgspec

from slipway.accounts.models import Account, Token
from slipway.db import Connection
from slipway.errors import Conflict

_ACCOUNT = "accounts.id, accounts.email, accounts.name, accounts.created_at"


def _account(row: asyncpg.Record | None) -> Account:
    assert row is not None, "the statement gives a row"
    return msgspec.convert(dict(row), Account)


async def insert_account(connection: Connection, email: str, name: str, password_hash: str) -> Account:
    try:
        row = await connection.fetchrow(
            f"INSERT INTO accounts (email, name, password_hash) VALUES ($1, $2, $3) RETURNING {_ACCOUNT}",  # noqa: S608
            email, name, password_hash,
        )  # fmt: skip
    except asyncpg.UniqueViolationError as error:
        raise Conflict("There is an account with this e-mail address already.", field="email") from error
    return _account(row)


async def find_account_by_email(connection: Connection, email: str) -> tuple[Account, str] | None:
    """→ (account, password hash)."""
    row = await connection.fetchrow(
        f"SELECT {_ACCOUNT}, password_hash FROM accounts WHERE lower(email) = lower($1)",  # noqa: S608
        email,
    )
    return (_account(row), row["password_hash"]) if row else None


async def get_account(connection: Connection, account_id: int) -> Account:
    row = await connection.fetchrow(f"SELECT {_ACCOUNT} FROM accounts WHERE id = $1", account_id)  # noqa: S608
    return _account(row)


async def list_accounts(connection: Connection, limit: int) -> list[Account]:
    rows = await connection.fetch(f"SELECT {_ACCOUNT} FROM accounts ORDER BY id LIMIT $1", limit)  # noqa: S608
    return [_account(row) for row in rows]


async def has_accounts(connection: Connection) -> bool:
    return bool(await connection.fetchval("SELECT EXISTS (SELECT FROM accounts)"))


async def put_password(connection: Connection, account_id: int, password_hash: str) -> None:
    await connection.execute("UPDATE accounts SET password_hash = $2 WHERE id = $1", account_id, password_hash)


# ---- setup links


async def replace_setup_links(connection: Connection, token_hash: bytes, expires_at: datetime) -> None:
    """The new link is the only one."""
    await connection.execute("DELETE FROM setup_links")
    await connection.execute("INSERT INTO setup_links (token_hash, expires_at) VALUES ($1, $2)", token_hash, expires_at)


async def is_setup_link_open(connection: Connection, token_hash: bytes) -> bool:
    return bool(
        await connection.fetchval(
            "SELECT true FROM setup_links WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now()", token_hash
        )
    )


async def use_setup_link(connection: Connection, token_hash: bytes) -> bool:
    """Take the link. False when it is unknown, over, or was taken: of two that try at once, one gets it."""
    taken = await connection.fetchval(
        """UPDATE setup_links SET used_at = now()
           WHERE token_hash = $1 AND used_at IS NULL AND expires_at > now() RETURNING true""",
        token_hash,
    )
    return bool(taken)


# ---- sessions


async def insert_session(connection: Connection, token_hash: bytes, account_id: int, expires_at: datetime) -> None:
    await connection.execute("DELETE FROM sessions WHERE expires_at < now()")
    await connection.execute(
        "INSERT INTO sessions (token_hash, account_id, expires_at) VALUES ($1, $2, $3)",
        token_hash, account_id, expires_at,
    )  # fmt: skip


async def find_session_account(connection: Connection, token_hash: bytes) -> tuple[Account, datetime] | None:
    """→ (account, when the session was last seen), None when it is unknown or over."""
    row = await connection.fetchrow(
        f"""SELECT {_ACCOUNT}, sessions.last_seen_at FROM sessions JOIN accounts ON accounts.id = sessions.account_id
            WHERE sessions.token_hash = $1 AND sessions.expires_at > now()""",  # noqa: S608
        token_hash,
    )
    return (_account(row), row["last_seen_at"]) if row else None


async def touch_session(connection: Connection, token_hash: bytes, expires_at: datetime) -> None:
    await connection.execute(
        "UPDATE sessions SET last_seen_at = now(), expires_at = $2 WHERE token_hash = $1", token_hash, expires_at
    )


async def delete_session(connection: Connection, token_hash: bytes) -> None:
    await connection.execute("DELETE FROM sessions WHERE token_hash = $1", token_hash)


async def delete_other_sessions(connection: Connection, account_id: int, kept: bytes) -> None:
    await connection.execute("DELETE FROM sessions WHERE account_id = $1 AND token_hash <> $2", account_id, kept)


# ---- API tokens


async def insert_token(connection: Connection, account_id: int, name: str, token_hash: bytes) -> Token:
    row = await connection.fetchrow(
        """INSERT INTO tokens (account_id, name, token_hash) VALUES ($1, $2, $3)
           RETURNING id, name, created_at, last_used_at""",
        account_id, name, token_hash,
    )  # fmt: skip
    assert row is not None, "the statement gives a row"
    return msgspec.convert(dict(row), Token)


async def list_tokens(connection: Connection, account_id: int) -> list[Token]:
    rows = await connection.fetch(
        "SELECT id, name, created_at, last_used_at FROM tokens WHERE account_id = $1 ORDER BY id", account_id
    )
    return [msgspec.convert(dict(row), Token) for row in rows]


async def find_token_account(connection: Connection, token_hash: bytes) -> Account | None:
    """The token's owner; that it was used is written at most once a minute."""
    row = await connection.fetchrow(
        f"""SELECT {_ACCOUNT}, tokens.id AS token_id,
                   coalesce(tokens.last_used_at < now() - interval '1 minute', true) AS stale
            FROM tokens JOIN accounts ON accounts.id = tokens.account_id WHERE tokens.token_hash = $1""",  # noqa: S608
        token_hash,
    )
    if row is None:
        return None
    if row["stale"]:
        await connection.execute("UPDATE tokens SET last_used_at = now() WHERE id = $1", row["token_id"])
    return _account(row)


async def delete_token(connection: Connection, account_id: int, token_id: int) -> str | None:
    """→ its name, None when the account has no such token."""
    name: str | None = await connection.fetchval(
        "DELETE FROM tokens WHERE account_id = $1 AND id = $2 RETURNING name", account_id, token_id
    )
    return name


# ---- failed sign-ins


async def count_failure(connection: Connection, subject: str, window: timedelta) -> tuple[int, float]:
    """Add a failure. → (how many there are in the window with it, seconds until the oldest of them leaves it).

    Inside a transaction: attempts at the same subject count one after the other.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"sign-in {subject}")
    await connection.execute("DELETE FROM sign_in_failures WHERE at < now() - interval '1 day'")
    await connection.execute("INSERT INTO sign_in_failures (subject) VALUES ($1)", subject)
    row = await connection.fetchrow(
        """SELECT count(*) AS number, extract(epoch FROM min(at) + $2::interval - now())::float8 AS wait
           FROM sign_in_failures WHERE subject = $1 AND at > now() - $2::interval""",
        subject, window,
    )  # fmt: skip
    assert row is not None, "an aggregate gives a row"
    return row["number"], row["wait"] or 0.0


async def drop_failure(connection: Connection, subject: str) -> None:
    """Take the newest failure of a subject back: it was none."""
    await connection.execute(
        """DELETE FROM sign_in_failures WHERE ctid =
           (SELECT ctid FROM sign_in_failures WHERE subject = $1 ORDER BY at DESC LIMIT 1)""",
        subject,
    )


async def drop_failures(connection: Connection, subject: str) -> None:
    await connection.execute("DELETE FROM sign_in_failures WHERE subject = $1", subject)
