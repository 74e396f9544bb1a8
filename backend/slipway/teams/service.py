"""Who belongs to which team, and the setup that makes the first of both."""

from slipway.accounts.models import Account, check_email, check_name
from slipway.accounts.service import SETUP_LINK_OVER, Accounts
from slipway.db import Connection, Database
from slipway.errors import Invalid, NotFound
from slipway.teams import store
from slipway.teams.models import Role, Team
from slipway.web.callers import Caller

FIRST_TEAM = "main"


class Teams:
    """One team until people have their own issue; the shape is already for more."""

    def __init__(self, db: Database, accounts: Accounts) -> None:
        self._db = db
        self._accounts = accounts

    async def set_up(self, token: str, email: str, name: str, password: str) -> tuple[Account, str]:
        """Use a setup link: its account becomes an owner of the first team. → (account, a new session's token)."""
        email, name = check_email(email), check_name(name)
        if not await self._accounts.is_setup_link_open(token):
            raise NotFound(SETUP_LINK_OVER)
        password_hash = await self._accounts.hash_new_password(password)
        async with self._db.transaction() as connection:
            account = await self._accounts.use_setup_link(connection, token, email, name, password_hash)
            team = await self._first_team(connection)
            await store.put_membership(connection, team.id, account.id, Role.OWNER)
        return account, await self._accounts.open_session(account.id)

    async def team_for_new_app(self, caller: Caller, team_id: int | None) -> int:
        """The team that a new app of this caller belongs to: the one asked for, else the only one there can be.

        `Policy.CREATOR` lets nobody come here who is a member of no team.
        """
        if team_id is not None:
            if caller.rank_in(team_id) < Role.MEMBER.rank:
                raise NotFound("You are in no such team, or only look on there.")
            async with self._db.connection() as connection:
                known = await store.list_teams(connection, caller.account_id)
            if team_id not in {team.id for team, _ in known}:
                raise NotFound("There is no such team.")
            return team_id
        if caller.is_operator:
            async with self._db.transaction() as connection:
                return (await self._first_team(connection)).id
        usable = sorted(one for one, rank in caller.ranks.items() if rank >= Role.MEMBER.rank)
        if len(usable) > 1:
            raise Invalid("You are in several teams: say in which the app is to be.", field="team")
        return usable[0]

    async def list_teams(self, account_id: int | None) -> list[tuple[Team, Role]]:
        """The teams of an account with its role; None: all, as the operator sees them."""
        async with self._db.connection() as connection:
            return await store.list_teams(connection, account_id)

    async def roles_of(self, connection: Connection, account_id: int) -> dict[int, Role]:
        return await store.list_roles(connection, account_id)

    async def _first_team(self, connection: Connection) -> Team:
        team = await store.find_first_team(connection)
        if team is None:
            await store.lock_teams(connection)
            team = await store.find_first_team(connection) or await store.insert_team(connection, FIRST_TEAM)
        return team
