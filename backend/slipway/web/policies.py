"""Who may use a route. Every route declares it; an application with a route that does not is not started."""

import re
import time
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any, Protocol

from litestar import Litestar
from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.routes import HTTPRoute

from slipway.errors import Forbidden, NotFound, SlipwayError, Unauthenticated, Unavailable
from slipway.settings import Settings
from slipway.web import csrf, peers
from slipway.web.callers import Caller, Credentials, Rank, identify
from slipway.web.context import remember, remember_app
from slipway.web.sessions import cookie_name


class Policy(StrEnum):
    """`@get("/api/apps", policy=Policy.SIGNED_IN)`. The roles are those in the team of the app in the path."""

    PUBLIC = "public"
    SIGNED_IN = "signed_in"
    CREATOR = "creator"
    """A member of some team: whoever may make an app."""
    VIEWER = "viewer"
    MEMBER = "member"
    OWNER = "owner"
    ADMINISTRATOR = "administrator"
    """An owner of some team: whoever may look after the machine itself."""
    OPERATOR = "operator"


RANKS = {Policy.VIEWER: Rank.VIEWER, Policy.MEMBER: Rank.MEMBER, Policy.OWNER: Rank.OWNER}
SHARED_SECONDS = 10.0
"""How old an answer may be that streams of the same caller share."""
NAME = re.compile(r"[a-z0-9-]{1,64}\Z")
APP_PARAMETER = "app_name"
"""The path parameter that names the app: `/apps/{app_name:str}`."""


class AppLike(Protocol):
    """What the gate needs to know of an app."""

    @property
    def team_id(self) -> int: ...

    @property
    def name(self) -> str: ...


FindApp = Callable[[str], Awaitable[AppLike]]
"""Get an app by name, or raise NotFound."""


class UndeclaredPolicy(SlipwayError):
    """A route does not say who may use it."""

    code = "undeclared-policy"


class Gate:
    """The one guard of the application: finds the caller, then lets it through or refuses."""

    def __init__(self, settings: Settings, credentials: Credentials, find_app: FindApp) -> None:
        self._settings = settings
        self._origin = settings.panel_url
        self._cookie = cookie_name(settings)
        self._credentials = credentials
        self._find_app = find_app
        self._lately: dict[tuple[str, Policy, str], tuple[bool, float]] = {}

    async def __call__(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
        if connection.scope.get("method") == "OPTIONS":
            return  # Litestar's own answer: the methods of a path, nothing else
        policy = Policy(handler.opt["policy"])
        try:
            caller, session = await identify(connection, self._credentials, self._cookie)
        except Unavailable:
            if policy is not Policy.PUBLIC:
                raise
            caller, session = None, None  # what is for everybody needs no database
        if session is not None:
            peers.refuse_apps(connection, self._settings)
        remember(connection, caller, session, allowed=lambda: self.may_still(connection, handler))
        if caller is None and policy is not Policy.PUBLIC:
            raise Unauthenticated("Sign in first.")
        await self._refuse_foreign_pages(connection, caller, session)
        if caller is None or policy in (Policy.PUBLIC, Policy.SIGNED_IN):
            return
        if policy is Policy.CREATOR and not caller.may_create:
            raise Forbidden("You may look at apps, not create them. Ask an owner of the team to make you a member.")
        if policy is Policy.ADMINISTRATOR and not caller.may_administer:
            raise Forbidden("Only an owner of a team may look after the server itself.")
        if policy is Policy.OPERATOR and not caller.is_operator:
            raise Forbidden("Only the operator may do this: run `slipway` on the server itself, as root.")
        if policy in RANKS:
            remember_app(connection, await self._check_app(connection, caller, RANKS[policy]))

    async def may_still(self, connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> bool:
        """Whether the same request would be let through now: asked by streams. Streams of one caller share answers."""
        policy = Policy(handler.opt["policy"])
        name = str(connection.path_params.get(APP_PARAMETER, ""))
        credential = connection.headers.get("authorization") or connection.cookies.get(self._cookie, "")
        key = (credential, policy, name)
        answered, at = self._lately.get(key, (False, float("-inf")))
        if time.monotonic() - at < SHARED_SECONDS:
            return answered
        answered = await self._would_pass(connection, policy)
        if len(self._lately) > 10_000:
            self._lately.clear()
        self._lately[key] = (answered, time.monotonic())
        return answered

    async def _would_pass(self, connection: ASGIConnection[Any, Any, Any, Any], policy: Policy) -> bool:
        try:
            caller, _ = await identify(connection, self._credentials, self._cookie)
            if caller is None:
                return policy is Policy.PUBLIC
            if policy in RANKS:
                await self._check_app(connection, caller, RANKS[policy])
        except (Unauthenticated, Forbidden, NotFound):
            return False
        except Unavailable:
            return True  # nothing is known while the database is away; it is asked again in a minute
        return True

    async def _refuse_foreign_pages(
        self, connection: ASGIConnection[Any, Any, Any, Any], caller: Caller | None, session: str | None
    ) -> None:
        if connection.scope.get("method") in csrf.SAFE_METHODS or (caller is not None and session is None):
            return
        csrf.check_origin(connection, self._origin)
        if session is not None:
            await csrf.check_token(connection, session)

    async def _check_app(self, connection: ASGIConnection[Any, Any, Any, Any], caller: Caller, rank: int) -> AppLike:
        name = str(connection.path_params[APP_PARAMETER])
        if not NAME.match(name):
            raise NotFound(no_such_app(name))  # never asked of the database: it may hold what that refuses
        app = await self._find_app(name)
        held = caller.rank_in(app.team_id)
        if held == 0:
            # The same words as for an app that does not exist: outsiders cannot probe for names.
            raise NotFound(no_such_app(name))
        if held < rank:
            raise Forbidden("Your role in this app's team does not allow this. Ask an owner of the team.")
        return app


def no_such_app(name: str) -> str:
    """The message for an app that is not there, or that the caller may not know of."""
    return f"There is no app named {name[:64]!r}."


def check_declared(application: Litestar) -> None:
    """Raises UndeclaredPolicy, naming them, if routes do not say who may use them or cannot be checked."""
    missing = []
    for route in application.routes:
        if not isinstance(route, HTTPRoute):
            missing.append(route.path)
            continue
        for handler in route.route_handlers:
            if "OPTIONS" in handler.http_methods:
                continue
            policy = handler.opt.get("policy")
            if policy not in list(Policy) or (policy in RANKS and f"{{{APP_PARAMETER}" not in route.path_format):
                missing.append(f"{' '.join(sorted(handler.http_methods))} {route.path_format}")
    if missing:
        raise UndeclaredPolicy(
            "Slipway does not start: these routes do not say who may use them: " + ", ".join(missing)
        )
