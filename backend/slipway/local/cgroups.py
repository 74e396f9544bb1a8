"""Control groups of an installation's own, in every hierarchy that the machine has (v1, v2 or both).

A service manager started in the machine's root group would move every process of the machine into a group of
its own. So everything local begins in `<hierarchy>/slipway-<name>`; what is in there is ours, and nothing else is.
"""

import os
import signal
import time
from pathlib import Path

from slipway.errors import Unavailable

MANAGED = ("cpu", "memory", "pids", "io")
"""The controllers that units of Slipway ask for."""


def hierarchies() -> list[Path]:
    """Where control groups are mounted: /proc/self/mountinfo, whose type follows the ` - ` (proc(5))."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if after.split()[0] in ("cgroup", "cgroup2"):
            found.append(Path(before.split()[4]))
    return found


def groups(name: str) -> list[Path]:
    """The installation's own top groups, where they exist."""
    return [path for root in hierarchies() if (path := root / name).is_dir()]


def create(name: str) -> None:
    """Make the installation's groups. Raises Unavailable when this machine does not let us."""
    roots = hierarchies()
    if not roots:
        raise Unavailable("this machine has no control groups mounted below /sys/fs/cgroup, and systemd needs them")
    for root in roots:
        try:
            (root / name).mkdir(exist_ok=True)
        except OSError as error:
            raise Unavailable(
                f"cannot make a control group in {root} ({error.strerror}), and systemd needs one. In a container, "
                "give it a writable /sys/fs/cgroup (docker run --privileged --cgroupns=private)."
            ) from error
        _inherit_cpuset(root, root / name)
        _delegate(root)


def _inherit_cpuset(parent: Path, group: Path) -> None:
    """A new group of v1's cpuset has no processor and no memory node, and nothing may enter it so."""
    for key in ("cpuset.cpus", "cpuset.mems"):
        if (
            (group / "cgroup.clone_children").exists()
            and (group / key).exists()
            and not (group / key).read_text().strip()
        ):
            (group / key).write_text((parent / key).read_text())


def _delegate(root: Path) -> None:
    """On v2 a controller reaches a group only if the group above passes it on."""
    control = root / "cgroup.subtree_control"
    if not control.exists():
        return
    available = (root / "cgroup.controllers").read_text().split()
    enabled = control.read_text().split()
    for controller in MANAGED:
        if controller in available and controller not in enabled:
            try:
                control.write_text(f"+{controller}")
            except OSError:
                continue  # a container's root group has processes in it: limits are then not enforced


def missing_limits() -> list[str]:
    """Which limits this machine cannot enforce: controllers of MANAGED that no hierarchy offers."""
    offered: set[str] = set()
    for root in hierarchies():
        control = root / "cgroup.subtree_control"
        offered |= set(control.read_text().split() if control.exists() else root.name.split(","))
    if "blkio" in offered:
        offered.add("io")
    return [controller for controller in MANAGED if controller not in offered]


def enter(name: str) -> None:
    """Move this process into the installation's groups."""
    for group in groups(name):
        (group / "cgroup.procs").write_text(str(os.getpid()))


def members(name: str) -> set[int]:
    pids: set[int] = set()
    for group in groups(name):
        for procs in group.rglob("cgroup.procs"):
            try:
                pids |= {int(line) for line in procs.read_text().split()}
            except OSError:
                continue  # the group vanished meanwhile
    pids.discard(0)  # a process outside our process namespace
    return pids - {os.getpid()}


def end(name: str, *, seconds: float = 5.0) -> None:
    """Kill whatever is still in the installation's groups, then remove them."""
    deadline = time.monotonic() + seconds
    while (pids := members(name)) and time.monotonic() < deadline:
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    for group in groups(name):
        inner_first = sorted((path for path in group.rglob("*") if path.is_dir()), reverse=True)
        for folder in [*inner_first, group]:
            _remove(folder, deadline)


def _remove(folder: Path, deadline: float) -> None:
    while True:
        try:
            folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:  # busy for a moment after its last process
            if time.monotonic() > deadline:
                return
            time.sleep(0.02)
        else:
            return
