"""Failed sign-ins are counted, and what is refused is not."""

import pytest

from slipway.accounts import service
from slipway.accounts.service import Accounts
from slipway.db import Database
from slipway.errors import TooManyRequests
from slipway.events.service import Events


async def test_an_address_over_its_limit_neither_locks_accounts_nor_fills_the_table(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FAILURES_PER_ADDRESS", 0)
    accounts = Accounts(database, Events(database))
    for number in range(3):
        with pytest.raises(TooManyRequests):
            await accounts.sign_in(f"somebody{number}@example.org", "a wrong password", "192.0.2.1")
    async with database.connection() as connection:
        assert await connection.fetchval("SELECT count(*) FROM sign_in_failures") == 0
