"""One attempt to make a release live: its states, and which may follow which."""

from datetime import datetime
from enum import StrEnum

import msgspec


class State(StrEnum):
    QUEUED = "queued"
    FETCHING = "fetching"
    BUILDING = "building"
    RELEASING = "releasing"
    STARTING = "starting"
    CHECKING = "checking"
    SWITCHING = "switching"
    LIVE = "live"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"

    @property
    def ended(self) -> bool:
        return self in ENDED


ENDED = frozenset({State.LIVE, State.FAILED, State.CANCELLED, State.SUPERSEDED})
CANCELLED = "It was cancelled."
"""The reason of one that somebody stopped."""
PHASES = (State.FETCHING, State.BUILDING, State.RELEASING, State.STARTING, State.CHECKING, State.SWITCHING)


class Kind(StrEnum):
    DEPLOY = "deploy"
    ROLLBACK = "rollback"
    VARIABLES = "variables"
    SETTINGS = "settings"


class Deployment(msgspec.Struct, frozen=True):
    id: int
    environment_id: int
    kind: Kind
    state: State
    branch: str | None
    commit: str | None
    commit_subject: str | None
    commit_author: str | None
    target_release: int | None
    generation: int | None
    build_id: int | None
    release_id: int | None
    release_number: int | None
    slot: int | None
    release_command: str | None
    cancel_asked_at: datetime | None
    undone_by: int | None
    reason: str | None
    requested_by: int | None
    trigger: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class Phase(msgspec.Struct, frozen=True):
    phase: str
    started_at: datetime
    ended_at: datetime | None
    reason: str | None

    @property
    def seconds(self) -> float | None:
        return (self.ended_at - self.started_at).total_seconds() if self.ended_at else None
