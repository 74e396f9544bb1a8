"""How much memory the machine has, and swap."""

from pathlib import Path

TOLD = Path("/proc/meminfo")


def total(told: Path = TOLD) -> int:
    """In MB. As the kernel tells it there: in a provider's container that is the container's share (lxcfs)."""
    return _told(told, "MemTotal:")


def swap(told: Path = TOLD) -> int:
    """In MB."""
    return _told(told, "SwapTotal:")


def _told(told: Path, name: str) -> int:
    line = next(line for line in told.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) // 1024
