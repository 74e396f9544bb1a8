"""How much memory the machine has."""

from pathlib import Path


def total(told: Path = Path("/proc/meminfo")) -> int:
    """In MB. As the kernel tells it there: in a provider's container that is the container's share (lxcfs)."""
    line = next(line for line in told.read_text().splitlines() if line.startswith("MemTotal:"))
    return int(line.split()[1]) // 1024
