"""Who did what."""

from datetime import datetime
from typing import Any

import msgspec


class Actor(msgspec.Struct, frozen=True):
    """Who acts: an account, the operator on the box, or Slipway itself."""

    kind: str  # 'account', 'token', 'operator', 'slipway'
    account_id: int | None = None

    def __str__(self) -> str:
        return f"{self.kind}:{self.account_id}" if self.account_id else self.kind


OPERATOR = Actor("operator")
SLIPWAY = Actor("slipway")


class Event(msgspec.Struct, frozen=True):
    """An immutable record. `kind` is `noun.past-participle`: `app.created`, `deployment.failed`."""

    id: int
    at: datetime
    kind: str
    actor: str
    team_id: int | None
    app_id: int | None
    environment_id: int | None
    data: dict[str, Any]
