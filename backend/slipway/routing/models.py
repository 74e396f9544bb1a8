"""Slots: where releases of an environment run, and which of them gets the traffic."""

from datetime import datetime
from enum import StrEnum

import msgspec


class SlotRole(StrEnum):
    INCOMING = "incoming"
    LIVE = "live"
    DRAINING = "draining"
    STANDBY = "standby"
    STOPPING = "stopping"


class Slot(msgspec.Struct, frozen=True):
    environment_id: int
    number: int
    release_id: int
    release_number: int
    generation: int
    role: SlotRole
    since: datetime
    until: datetime | None
