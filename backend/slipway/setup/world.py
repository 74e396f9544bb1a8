"""Where an installation's systemd is, and how to get there."""

import subprocess
from pathlib import Path
from typing import Protocol

from slipway.errors import Unavailable
from slipway.settings import Mode


class World(Protocol):
    mode: Mode
    units: Path
    """Where its systemd reads unit files."""
    systemctl: tuple[str, ...]
    """The command that speaks to it, inside."""

    def is_running(self) -> bool: ...

    def begin(self) -> None:
        """Make its systemd run. The settings must be there."""

    def entering(self, argv: list[str]) -> list[str]:
        """The command that runs `argv` in it."""

    def end(self) -> None:
        """Stop every unit of the installation, and what its systemd consists of."""


def run_in(world: World, argv: list[str]) -> str:
    """Run a command in the world; what it printed. Raises Unavailable with what it said in failing."""
    ended = subprocess.run(
        world.entering(argv), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )  # fmt: skip
    if ended.returncode != 0:
        raise Unavailable(f"{' '.join(argv)} failed with {ended.returncode}:\n{(ended.stderr or ended.stdout).strip()}")
    return ended.stdout
