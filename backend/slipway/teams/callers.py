"""From a session or a token to the caller that the gate asks for, and from a caller to the actor in events."""

from slipway.accounts.models import Account
from slipway.accounts.service import Accounts
from slipway.db import Connection, Database
from slipway.events.models import OPERATOR, Actor
from slipway.teams.service import Teams
from slipway.web.callers import Caller, CallerKind


class Callers:
    """Implements `web.callers.Credentials`."""

    def __init__(self, db: Database, accounts: Accounts, teams: Teams) -> None:
        self._db = db
        self._accounts = accounts
        self._teams = teams

    async def find_by_session(self, token: str) -> Caller | None:
        async with self._db.connection() as connection:
            account = await self._accounts.find_session(connection, token)
            return await self._caller(connection, CallerKind.ACCOUNT, account) if account else None

    async def find_by_token(self, token: str) -> Caller | None:
        async with self._db.connection() as connection:
            account = await self._accounts.find_token(connection, token)
            return await self._caller(connection, CallerKind.TOKEN, account) if account else None

    async def _caller(self, connection: Connection, kind: CallerKind, account: Account) -> Caller:
        roles = await self._teams.roles_of(connection, account.id)
        ranks = {team_id: role.rank for team_id, role in roles.items()}
        return Caller(kind, account.id, account.name, account.email, ranks)


async def provide_actor(caller: Caller) -> Actor:
    """The dependency `actor`."""
    return OPERATOR if caller.is_operator else Actor(caller.kind.value, caller.account_id)
