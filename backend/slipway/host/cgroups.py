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
    """Processes that the kernel killed because the group, one above it, or the machine was short of memory."""
    limit_met: int
    """How often it was the group's own memory limit that left no room."""
    tasks_refused: int
    """Forks that the kernel refused because the group was at its task limit."""
    identity: str
    """Differs when the group was removed and made again, so that counts are compared with their own past only."""


def own_counters(proc: Path = Path("/proc/self/cgroup"), root: Path = ROOT) -> Counters:
    """The counters of the group that the calling process is in. What cannot be read counts as zero."""
    memory, pids = _folders(proc.read_text(), root)
    return Counters(
        oom_kills=_field(memory / "memory.events", "oom_kill") or _field(memory / "memory.oom_control", "oom_kill"),
        limit_met=_field(memory / "memory.events", "oom") or _number(f"{memory}/memory.failcnt"),
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
        return _identified(os.stat(folder))
    except OSError:
        return ""


def _identified(status: os.stat_result) -> str:
    """By its number alone, which the kernel gives to no other group until it is started anew. Its times are those at
    which the kernel last read it into memory: they change where memory is short, and it is the same group."""
    return str(status.st_ino)


class Usage(NamedTuple):
    """What a control group and all below it use, and have used since it was made."""

    cpu_usec: int
    memory: int
    """Bytes, without copies of files that the kernel gives up when it needs the room."""
    tasks: int
    read_bytes: int
    written_bytes: int
    oom_kills: int | None
    """None where the kernel does not count for the groups below (v1)."""
    identity: str


class Groups:
    """Reads control groups by the path that systemd calls them by (`/a.slice/a-b.slice`).

    A controller that v1 holds is a hierarchy of its own; beside them there may be v2's, without controllers. Where
    the kernel counts nothing (a controller that is off), it counts as zero.
    """

    def __init__(self, root: Path = ROOT) -> None:
        is_unified = (root / "cgroup.controllers").exists()
        self._unified = str(root if is_unified else root / "unified")
        self._memory = None if is_unified else str(root / "memory")
        self._pids = str(root if is_unified else root / "pids")
        self._cpuacct = str(root / "cpuacct")
        self._blkio = None if is_unified else str(root / "blkio")
        # Where every group is, whichever controllers it has.
        self._tree = self._unified if os.path.isdir(self._unified) else str(root / "systemd")

    def below(self, path: str) -> list[str]:
        """The names of the groups in a group; none where it is not there."""
        try:
            return [entry.name for entry in os.scandir(self._tree + path) if entry.is_dir()]
        except OSError:
            return []

    def usage(self, path: str) -> Usage | None:
        """None where the group is gone."""
        try:
            status = os.stat(self._tree + path)
        except OSError:
            return None
        memory, oom_kills = self._memory_of(path)
        read, written = self._bytes_of(path)
        return Usage(
            cpu_usec=self._cpu_of(path),
            memory=memory,
            tasks=_number(f"{self._pids}{path}/pids.current"),
            read_bytes=read,
            written_bytes=written,
            oom_kills=oom_kills,
            identity=_identified(status),
        )

    def _cpu_of(self, path: str) -> int:
        # v2 counts in every group, whoever has the controller.
        found = _after(_text(f"{self._unified}{path}/cpu.stat"), b"usage_usec ")
        return found if found is not None else _number(f"{self._cpuacct}{path}/cpuacct.usage") // 1000

    def _memory_of(self, path: str) -> tuple[int, int | None]:
        if self._memory is not None:
            used = _number(f"{self._memory}{path}/memory.usage_in_bytes")
            cached = _after(_text(f"{self._memory}{path}/memory.stat"), b"total_inactive_file ")
            return max(0, used - (cached or 0)), None
        used = _number(f"{self._unified}{path}/memory.current")
        cached = _after(_text(f"{self._unified}{path}/memory.stat"), b"inactive_file ")
        kills = _after(_text(f"{self._unified}{path}/memory.events"), b"oom_kill ")
        return max(0, used - (cached or 0)), kills or 0

    def _bytes_of(self, path: str) -> tuple[int, int]:
        """Read and written, on all devices together."""
        read = written = 0
        if self._blkio is not None:
            for line in _text(f"{self._blkio}{path}/blkio.throttle.io_service_bytes_recursive").splitlines():
                match line.split():
                    case [_, b"Read", number]:
                        read += int(number)
                    case [_, b"Write", number]:
                        written += int(number)
        else:
            for word in _text(f"{self._unified}{path}/io.stat").split():
                key, _, number = word.partition(b"=")
                if key == b"rbytes":
                    read += int(number)
                elif key == b"wbytes":
                    written += int(number)
        return read, written


def _text(path: str) -> bytes:
    """By descriptor: a file object costs three times as much, and there are thousands of these to read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return b""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def _number(path: str) -> int:
    text = _text(path).strip()
    return int(text) if text.isdigit() else 0


def _after(text: bytes, name: bytes) -> int | None:
    """The number in the line that begins with a name. Not by lines: there are dozens, and thousands of such texts."""
    begin = 0 if text.startswith(name) else text.find(b"\n" + name) + 1
    if not begin and not text.startswith(name):
        return None
    return int(text[begin + len(name) :].split(b"\n", 1)[0])
