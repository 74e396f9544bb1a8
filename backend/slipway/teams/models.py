"""Teams own apps; accounts belong to them with a role."""

from datetime import datetime
from enum import StrEnum

import msgspec

from slipway.web.callers import Rank


class Role(StrEnum):
    """What a member may do: a viewer looks, a member deploys and changes, an owner also deletes and invites."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"

    @property
    def rank(self) -> Rank:
        return Rank[self.name]


class Team(msgspec.Struct, frozen=True):
    id: int
    name: str
    created_at: datetime
