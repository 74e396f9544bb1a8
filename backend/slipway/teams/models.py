"""Teams own apps; accounts belong to them with a role."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Role(StrEnum):
    """What a member may do: a viewer looks, a member deploys and changes, an owner also deletes and invites."""

    OWNER = "owner"
    MEMBER = "member"
    VIEWER = "viewer"

    @property
    def rank(self) -> int:
        return {"viewer": 1, "member": 2, "owner": 3}[self.value]


class Team(msgspec.Struct, frozen=True):
    id: int
    name: str
    created_at: datetime
