"""/api/account, /api/tokens: the caller's own."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, post
from litestar.params import JSONBody

from slipway.accounts.models import Token
from slipway.accounts.service import Accounts
from slipway.errors import Forbidden, Invalid
from slipway.events.models import Actor
from slipway.settings import Settings
from slipway.web.callers import Caller, CallerKind
from slipway.web.path import Id
from slipway.web.policies import Policy


class NewToken(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    email: Annotated[str, msgspec.Meta(max_length=254)] | None = None
    """Whose token it becomes; only the operator may say it, and must where there are several accounts."""


class CreatedToken(msgspec.Struct, frozen=True):
    """`token` is the secret; it is shown this once."""

    id: int
    name: str
    created_at: datetime
    token: str


class SetupLink(msgspec.Struct, frozen=True):
    url: str


@get("/api/tokens", policy=Policy.SIGNED_IN)
async def list_tokens(caller: Caller, accounts: Accounts) -> list[Token]:
    """The caller's API tokens, without their secrets."""
    return await accounts.list_tokens(_own_account(caller))


@post("/api/tokens", policy=Policy.SIGNED_IN, idempotent=False)
async def create_token(data: JSONBody[NewToken], caller: Caller, actor: Actor, accounts: Accounts) -> CreatedToken:
    """Make an API token. A token cannot make another."""
    if caller.kind is CallerKind.TOKEN:
        raise Forbidden("A token cannot make tokens. Sign in on the page, or use `slipway token create` on the server.")
    if caller.is_operator:
        account_id = (await accounts.account_for_operator(data.email)).id
    elif data.email is not None:
        raise Invalid("Only the operator may make tokens for others.", field="email")
    else:
        account_id = _own_account(caller)
    token, secret = await accounts.create_token(actor, account_id, data.name)
    return CreatedToken(token.id, token.name, token.created_at, secret)


@delete("/api/tokens/{token_id:int}", policy=Policy.SIGNED_IN)
async def delete_token(token_id: Id, caller: Caller, actor: Actor, accounts: Accounts) -> None:
    """Delete one of the caller's tokens; it stops working at once."""
    await accounts.delete_token(actor, _own_account(caller), token_id)


@post("/api/setup-link", policy=Policy.OPERATOR)
async def create_setup_link(accounts: Accounts, settings: Settings) -> SetupLink:
    """A new one-time link, good for a day, that makes an owner's account or gives one a new password."""
    return SetupLink(f"{settings.panel_url}/setup/{await accounts.make_setup_link()}")


def _own_account(caller: Caller) -> int:
    if caller.account_id is None:
        raise Invalid("The operator has no account: sign in, or use a token.")
    return caller.account_id


HANDLERS = [list_tokens, create_token, delete_token, create_setup_link]
