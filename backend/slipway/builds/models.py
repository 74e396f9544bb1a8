"""One commit turned into files, immutable; many releases may share one."""

from datetime import datetime
from enum import StrEnum

import msgspec

from slipway.plan import Plan


class BuildState(StrEnum):
    BUILDING = "building"
    READY = "ready"
    FAILED = "failed"
    DELETING = "deleting"
    DELETED = "deleted"


class Build(msgspec.Struct, frozen=True):
    id: int
    environment_id: int
    commit: str
    state: BuildState
    plan: Plan | None
    created_at: datetime
    ended_at: datetime | None
