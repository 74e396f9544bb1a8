"""Build + variables + settings, frozen; numbered v1, v2, … in its environment."""

from datetime import datetime

import msgspec

from slipway.apps.models import EnvironmentSettings

KEPT = 5
"""Releases before the live one that stay ready to roll back to."""


class Newer(msgspec.Struct, frozen=True):
    """What an environment has now and a release of it was made without: names, never values."""

    variables: list[str]
    settings: list[str]


class Release(msgspec.Struct, frozen=True):
    id: int
    environment_id: int
    number: int
    build_id: int
    commit: str
    settings: EnvironmentSettings
    processes: dict[str, str]
    """Name → command, as they run."""
    reason: str
    created_at: datetime
    pruned_at: datetime | None

    @property
    def name(self) -> str:
        return f"v{self.number}"
