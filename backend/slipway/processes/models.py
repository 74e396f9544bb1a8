"""What runs: processes, their instances, and how they ended."""

from datetime import datetime

import msgspec


class Crash(msgspec.Struct, frozen=True):
    """An instance ended unasked."""

    id: int
    environment_id: int
    release_number: int
    process: str
    rank: int
    at: datetime
    exit_code: int | None
    signal: str | None
    out_of_memory: bool
    lines: list[str]
    """The last lines of its log."""

    @property
    def sentence(self) -> str:
        """How it ended, in plain words."""
        if self.out_of_memory:
            return "ended by the kernel: it used more memory than its limit"
        if self.signal:
            return f"ended by signal {self.signal}"
        return f"ended by itself with exit code {self.exit_code}"


class ProcessState(msgspec.Struct, frozen=True):
    """One process of the live release: how many instances are wanted, and what each does."""

    name: str
    command: str
    wanted: int
    instances: list["InstanceState"]


class InstanceState(msgspec.Struct, frozen=True):
    rank: int
    active: str
    """systemd's ActiveState."""
    restarts: int
