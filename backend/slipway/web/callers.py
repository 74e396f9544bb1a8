"""Who is asking: the operator on the box, a token, or a signed-in account."""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Any, Protocol

import msgspec
from litestar.connection import ASGIConnection

from slipway.errors import Unauthenticated

MAX_SECRET = 256
"""Characters of a credential that are looked at; every real one is shorter."""


class CallerKind(StrEnum):
    ACCOUNT = "account"
    TOKEN = "token"  # noqa: S105 - the kind, not a token
    OPERATOR = "operator"


class Rank(IntEnum):
    """Of a role in a team: a higher one may do all that a lower one may."""

    VIEWER = 1
    MEMBER = 2
    OWNER = 3


class Caller(msgspec.Struct, frozen=True):
    """Whoever asks. `ranks` is team id → rank of the role there."""

    kind: CallerKind
    account_id: int | None = None
    name: str = "operator"
    email: str = ""
    ranks: Mapping[int, int] = {}

    @property
    def is_operator(self) -> bool:
        return self.kind is CallerKind.OPERATOR

    @property
    def team_ids(self) -> list[int] | None:
        """The teams whose apps may be seen; None means all."""
        return None if self.is_operator else sorted(self.ranks)

    @property
    def may_create(self) -> bool:
        """Whether there is a team in which the caller may make apps."""
        return self.is_operator or max(self.ranks.values(), default=0) >= Rank.MEMBER

    @property
    def may_administer(self) -> bool:
        """Whether the machine itself is the caller's business."""
        return self.is_operator or max(self.ranks.values(), default=0) >= Rank.OWNER

    def rank_in(self, team_id: int) -> int:
        """0: not a member. The operator may do everything."""
        return Rank.OWNER if self.is_operator else self.ranks.get(team_id, 0)


OPERATOR = Caller(CallerKind.OPERATOR)


class Credentials(Protocol):
    """Turns a secret into its owner, or None when it is unknown or over. Implemented by the domains above."""

    async def find_by_session(self, token: str) -> Caller | None: ...

    async def find_by_token(self, token: str) -> Caller | None: ...


async def identify(
    connection: ASGIConnection[Any, Any, Any, Any], credentials: Credentials, cookie: str
) -> tuple[Caller | None, str | None]:
    """→ (the caller if there is one, the session's token if that is how it is known).

    A request on the admin socket is the operator's. An `Authorization` header is never ignored: what is wrong
    with it is refused, so that a script does not act as someone else by accident.
    """
    if connection.scope.get("slipway_operator") is True:
        return OPERATOR, None
    header = connection.headers.get("authorization")
    if header is not None:
        scheme, _, secret = header.partition(" ")
        if scheme.lower() != "bearer" or not secret or len(secret) > MAX_SECRET:
            raise Unauthenticated("The Authorization header must be `Bearer` and an API token.")
        caller = await credentials.find_by_token(secret.strip())
        if caller is None:
            raise Unauthenticated("This API token is unknown or was deleted. Make another in the account's page.")
        return caller, None
    session = connection.cookies.get(cookie)
    if not session or len(session) > MAX_SECRET:
        return None, None
    caller = await credentials.find_by_session(session)
    return (caller, session) if caller else (None, None)
