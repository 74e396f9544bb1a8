"""Setting up, signing in and out, and the account's own page."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import PathParameter, QueryParameter
from litestar.response import Redirect, Template

from slipway.accounts.service import SETUP_LINK_OVER, Accounts
from slipway.certificates.service import Certificates, CertificateView
from slipway.errors import Forbidden, NotFound, SlipwayError
from slipway.events.models import Actor
from slipway.settings import Settings
from slipway.teams.service import Teams
from slipway.web.addresses import client_address
from slipway.web.callers import Caller
from slipway.web.context import find_caller, get_session
from slipway.web.path import Id
from slipway.web.policies import Policy
from slipway.web.sessions import no_cookie, session_cookie
from slipway.web.views import AnyRequest, Form, Notice, draw, errors_by_field, go, read_form

SetupToken = Annotated[str, PathParameter(max_length=200)]


class Secret(msgspec.Struct, frozen=True):
    """A token that was just made, shown this once."""

    name: str
    value: str


@get("/setup/{token:str}", policy=Policy.PUBLIC)
async def show_setup(request: AnyRequest, token: SetupToken, accounts: Accounts) -> Template:
    if not await accounts.is_setup_link_open(token):
        raise NotFound(SETUP_LINK_OVER)
    return _draw_setup(request, token, Form({}), {})


@post("/setup/{token:str}", policy=Policy.PUBLIC, status_code=303)
async def set_up(request: AnyRequest, token: SetupToken, teams: Teams, settings: Settings) -> Any:
    """Make the account and sign it in."""
    form = await read_form(request)
    try:
        _, session = await teams.set_up(token, form.text("email"), form.text("name"), form.text("password"))
    except NotFound:
        raise
    except SlipwayError as error:
        errors = errors_by_field(error, {"email", "name", "password"})
        return _draw_setup(request, token, form, errors, status=error.status)
    return go("/", cookies=[session_cookie(settings, session)])


def _draw_setup(request: AnyRequest, token: str, form: Form, errors: dict[str, str], status: int = 200) -> Template:
    values = {name: form.text(name) for name in ("email", "name")}
    return draw(request, "setup", status=status, token=token, values=values, errors=errors)


@get("/sign-in", policy=Policy.PUBLIC, sync_to_thread=False)
def show_sign_in(
    request: AnyRequest, target: Annotated[str, QueryParameter(name="next", max_length=2000)] = "/"
) -> Any:
    if find_caller(request) is not None:
        return go(local_path(target))
    return _draw_sign_in(request, Form({"next": [target]}), {})


@post("/sign-in", policy=Policy.PUBLIC, status_code=303)
async def sign_in(request: AnyRequest, accounts: Accounts, settings: Settings) -> Any:
    """Sign in, and go on to where the sign-in was asked for."""
    form = await read_form(request)
    try:
        _, session = await accounts.sign_in(form.text("email"), form.text("password"), client_address(request))
    except SlipwayError as error:
        return _draw_sign_in(request, form, errors_by_field(error, {"password"}), status=error.status)
    return go(local_path(form.text("next")), cookies=[session_cookie(settings, session)])


def _draw_sign_in(request: AnyRequest, form: Form, errors: dict[str, str], status: int = 200) -> Template:
    values = {"email": form.text("email")}
    return draw(request, "sign_in", status=status, next=local_path(form.text("next")), values=values, errors=errors)


def local_path(target: str) -> str:
    """A path of our own pages; anything that could lead elsewhere becomes `/`."""
    safe = target.startswith("/") and not target.startswith("//") and "\\" not in target and target.isprintable()
    return target if safe and target.isascii() and " " not in target else "/"


@post("/sign-out", policy=Policy.SIGNED_IN, status_code=303)
async def sign_out(request: AnyRequest, accounts: Accounts, settings: Settings) -> Redirect:
    session = get_session(request)
    if session:
        await accounts.sign_out(session)
    return go("/sign-in", Notice.SIGNED_OUT, cookies=[no_cookie(settings)])


@get("/account", policy=Policy.SIGNED_IN)
async def show_account(
    request: AnyRequest,
    caller: Caller,
    accounts: Accounts,
    teams: Teams,
    certificates: Certificates,
) -> Template:
    certificate = await certificates.of_panel()
    return await _draw_account(request, _own(caller), accounts, teams, {}, certificate=certificate)


@get(["/account/tokens", "/account/password"], policy=Policy.SIGNED_IN, sync_to_thread=False)
def show_account_after_a_form() -> Redirect:
    """Where these forms' answers stand, asked for anew."""
    return go("/account")


@post("/account/tokens", policy=Policy.SIGNED_IN, status_code=200)
async def create_token(request: AnyRequest, caller: Caller, actor: Actor, accounts: Accounts, teams: Teams) -> Template:
    """Make a token and show its secret; only in the answer to this very request."""
    account_id = _own(caller)
    form = await read_form(request)
    name = form.text("name")
    try:
        token, value = await accounts.create_token(actor, account_id, name)
    except SlipwayError as error:
        errors = errors_by_field(error, {"name"})
        return await _draw_account(request, account_id, accounts, teams, errors, name=name, status=error.status)
    return await _draw_account(request, account_id, accounts, teams, {}, secret=Secret(token.name, value))


@post("/account/tokens/{token_id:int}/delete", policy=Policy.SIGNED_IN, status_code=303)
async def delete_token(token_id: Id, caller: Caller, actor: Actor, accounts: Accounts) -> Redirect:
    await accounts.delete_token(actor, _own(caller), token_id)
    return go("/account", Notice.TOKEN_DELETED)


@post("/account/password", policy=Policy.SIGNED_IN, status_code=303)
async def change_password(request: AnyRequest, caller: Caller, accounts: Accounts, teams: Teams) -> Any:
    account_id = _own(caller)
    form = await read_form(request)
    try:
        await accounts.change_password(
            account_id, get_session(request) or "", form.text("old_password"), form.text("password")
        )
    except SlipwayError as error:
        errors = errors_by_field(error, {"old_password", "password"})
        return await _draw_account(request, account_id, accounts, teams, errors, status=error.status)
    return go("/account", Notice.PASSWORD_CHANGED)


async def _draw_account(
    request: AnyRequest,
    account_id: int,
    accounts: Accounts,
    teams: Teams,
    errors: dict[str, str],
    *,
    secret: Secret | None = None,
    name: str = "",
    status: int = 200,
    certificate: CertificateView | None = None,
) -> Template:
    return draw(
        request,
        "account",
        status=status,
        account=await accounts.get_account(account_id),
        teams=await teams.list_teams(account_id),
        tokens=await accounts.list_tokens(account_id),
        secret=secret,
        certificate=certificate,
        values={"name": name},
        errors=errors,
    )


def _own(caller: Caller) -> int:
    if caller.account_id is None or caller.kind != "account":
        raise Forbidden("This page belongs to a person who is signed in; a token or the operator has none.")
    return caller.account_id


HANDLERS = [
    show_setup,
    set_up,
    show_sign_in,
    sign_in,
    sign_out,
    show_account,
    show_account_after_a_form,
    create_token,
    delete_token,
    change_password,
]
