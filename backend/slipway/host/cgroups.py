"""What the kernel counted in a control group, on cgroup v1 and v2 alike.

Stdlib only: the exit reporter imports it without Slipway's environment. Sources: the kernel's
Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst, cgroups(7).
"""

import os
from pathlib import Path
from typing import NamedTuple

ROOT = Path("/sys/fs/cgroup")


class Counters(NamedTuple):
    """Since the control group was made."""

    oom_kills: int
    """Processes that the kernel killed because the group was at its memory limit."""
    tasks_refused: int
    """Forks that the kernel refused because the group was at its task limit."""
    identity: str
    """Differs when the group was removed and made again, so that counts are compared with their own past only."""


def own_counters(proc: Path = Path("/proc/self/cgroup"), root: Path = ROOT) -> Counters:
    """The counters of the group that the calling process is in. What cannot be read counts as zero."""
    memory, pids = _folders(proc.read_text(), root)
    return Counters(
        oom_kills=_field(memory / "memory.events", "oom_kill") or _field(memory / "memory.oom_control", "oom_kill"),
        tasks_refused=_field(pids / "pids.events", "max"),
        identity=_identity(memory),
    )


def _folders(text: str, root: Path) -> tuple[Path, Path]:
    """The memory and the pids controller's folder, from the text of /proc/<pid>/cgroup.

    A line is `hierarchy:controllers:path`; v2's has no controllers. A controller that v1 holds is not v2's.
    """
    paths: dict[str, Path] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            paths[controller] = root / (controller or "") / path.lstrip("/")
    unified = paths.get("", root)
    return paths.get("memory", unified), paths.get("pids", unified)


def _field(file: Path, name: str) -> int:
    try:
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    except (OSError, ValueError):
        pass
    return 0


def _identity(folder: Path) -> str:
    try:
        status = os.stat(folder)
    except OSError:
        return ""
    return f"{status.st_ino}.{status.st_ctime_ns}"
