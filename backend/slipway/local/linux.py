"""The few system calls that Python 3.11 has no function for, and processes named so that no other can be meant."""

import ctypes
import os
from pathlib import Path

import msgspec

_MS_BIND = 0x1000
_MS_REC = 0x4000
_MS_PRIVATE = 0x40000
_CLONE_NEWNS = 0x00020000
_CLONE_NEWCGROUP = 0x02000000

_libc = ctypes.CDLL(None, use_errno=True)


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: str, kind: str, flags: int, data: str) -> None:
    result = _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode())
    _check(result, f"mount {kind or 'bind'} {source} on {target}")


def unshare_mounts() -> None:
    """Give this process mounts of its own; nothing mounted afterwards is seen outside (mount_namespaces(7))."""
    _check(_libc.unshare(_CLONE_NEWNS), "unshare mounts")
    _mount("none", "/", "", _MS_REC | _MS_PRIVATE, "")


def unshare_cgroups() -> None:
    """Make the control groups this process is in the roots of what it sees (cgroup_namespaces(7))."""
    _check(_libc.unshare(_CLONE_NEWCGROUP), "unshare control groups")


def mount_tmpfs(target: Path, *, mode: int) -> None:
    _mount("tmpfs", str(target), "tmpfs", 0, f"mode={mode:o}")


def mount_bind(source: Path, target: Path) -> None:
    """Show `source`, with all that is mounted below it, at `target` too."""
    _mount(str(source), str(target), "", _MS_BIND | _MS_REC, "")


def mount_overlay(target: Path, *, upper: Path, work: Path) -> None:
    """Lay a writable layer over `target`: reads see it, writes go to `upper` (kernel: filesystems/overlayfs)."""
    _mount("overlay", str(target), "overlay", 0, f"lowerdir={target},upperdir={upper},workdir={work}")


class Process(msgspec.Struct, frozen=True):
    """A process, told apart from a later one that got the same number by when it started."""

    pid: int
    started: int
    """Clock ticks since boot: field 22 of /proc/PID/stat (proc(5))."""


def find_process(pid: int) -> Process | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name, field 2, may itself hold spaces and brackets.
    state, *fields = stat.rpartition(") ")[2].split()
    return None if state in "ZX" else Process(pid, int(fields[18]))


def is_alive(process: Process) -> bool:
    return find_process(process.pid) == process
