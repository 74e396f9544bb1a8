"""bcrypt, in threads, few at a time: each hash takes a quarter of a second of a core."""

import asyncio
import functools

import bcrypt

from slipway.accounts.models import MAX_PASSWORD_BYTES

COST = 12
AT_ONCE = 2


@functools.cache
def _of_nobody() -> str:
    """A hash that no password fits; compared with where there is no account, so that both take as long."""
    return bcrypt.hashpw(b"nobody's password", bcrypt.gensalt(COST)).decode()


class Passwords:
    """Hashes and checks. At most two at once, so that sign-ins cannot take the machine."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(AT_ONCE)

    async def hash(self, password: str) -> str:
        """`password` has passed `check_password`."""
        async with self._turn:
            return (await asyncio.to_thread(bcrypt.hashpw, password.encode(), bcrypt.gensalt(COST))).decode()

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether it is the password; the same work is done where there is none to compare with."""
        given = password.encode(errors="replace")
        fits = len(given) <= MAX_PASSWORD_BYTES and b"\0" not in given
        async with self._turn:
            stored = await asyncio.to_thread(_of_nobody) if password_hash is None else password_hash
            same = await asyncio.to_thread(bcrypt.checkpw, given if fits else b"too long", stored.encode())
        return same and fits and password_hash is not None
