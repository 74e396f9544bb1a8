"""/api/account: who am I, and where do I belong."""

import msgspec
from litestar import get

from slipway.teams.models import Role
from slipway.teams.service import Teams
from slipway.web.callers import Caller
from slipway.web.policies import Policy


class Membership(msgspec.Struct, frozen=True):
    id: int
    name: str
    role: Role


class AccountView(msgspec.Struct, frozen=True):
    """`kind` is `account`, `token` or `operator`; the operator has neither an id nor an e-mail address."""

    kind: str
    id: int | None
    email: str
    name: str
    teams: list[Membership]


@get("/api/account", policy=Policy.SIGNED_IN)
async def show_account(caller: Caller, teams: Teams) -> AccountView:
    """The caller and its teams."""
    belongs = await teams.list_teams(caller.account_id)
    memberships = [Membership(team.id, team.name, role) for team, role in belongs]
    return AccountView(caller.kind.value, caller.account_id, caller.email, caller.name, memberships)


HANDLERS = [show_account]
