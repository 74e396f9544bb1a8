"""The private view of the file system: the state folder at the production paths, and a private /etc.

Nothing is written outside the state folder, not even mount points: the folders that hold production paths are
covered by a tmpfs in which what was there is shown again. Call from inside a mount namespace of one's own.
"""

import os
import shutil
import stat
import uuid
from collections.abc import Callable
from pathlib import Path

from slipway.errors import Invalid, Unavailable
from slipway.local import cgroups, linux
from slipway.local.state import PRODUCTION_FOLDERS, State

RUNTIME = Path("/run/systemd/manager")
"""XDG_RUNTIME_DIR of the private systemd."""

_SHOWN_AGAIN = (Path("/opt"), Path("/srv"), Path("/var/lib"))
"""What is in there, apps and repositories may need."""
_HIDDEN = (Path("/var/cache"), Path("/var/log"), Path("/run"))
"""What is in there is no app's business."""

_JOURNALD = """\
[Journal]
# Kept in the state folder, so that logs survive a resume.
Storage=persistent
SplitMode=none
SystemMaxUse=512M
# Units carry limits of their own; the machine's kernel and audit logs are not ours to read.
RateLimitIntervalSec=0
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToWall=no
"""

_INACCESSIBLE = {
    stat.S_IFREG: "reg",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "sock",
    stat.S_IFCHR: "chr",
    stat.S_IFBLK: "blk",
}

_MANAGER = """\
[Manager]
DefaultCPUAccounting=yes
DefaultMemoryAccounting=yes
DefaultTasksAccounting=yes
"""


def establish(state: State, group: str) -> None:
    """Mount it all. `group` is the name of the installation's control groups."""
    _refuse_unusable(state)
    _private_etc(state.private / "etc")
    for parent in _SHOWN_AGAIN:
        _cover(parent, lambda name: name != "slipway")
    for parent in _HIDDEN:
        _cover(parent, _needed_below(parent, state).__contains__)
    for name in PRODUCTION_FOLDERS:
        target = Path("/") / name
        target.mkdir(exist_ok=True)
        linux.mount_bind(state.folder / name, target)
    _private_runtime(state)
    for root in cgroups.hierarchies():
        linux.mount_bind(root / group, root)


def _refuse_unusable(state: State) -> None:
    real = state.folder.resolve()
    for parent in (Path("/etc"), Path("/proc"), Path("/sys"), Path("/dev"), Path("/run/systemd")):
        if real.is_relative_to(parent):
            raise Invalid(
                f"the state folder cannot lie in {parent}, which local mode replaces. Choose another --state."
            )
    for parent in (*_SHOWN_AGAIN, *_HIDDEN):
        if not parent.is_dir():
            raise Unavailable(f"this machine has no folder {parent}, as every Linux has. Make it, and try again.")


def _needed_below(parent: Path, state: State) -> set[str]:
    """The children of a hidden folder that must stay: the way to the state folder and to the DNS settings."""
    needed = set()
    for path in (state.folder.resolve(), Path("/etc/resolv.conf").resolve()):
        if path.is_relative_to(parent):
            needed.add(path.relative_to(parent).parts[0])
    return needed


def _cover(parent: Path, wanted: Callable[[str], bool]) -> None:
    """Put a tmpfs over `parent`, and in it again each child that is wanted."""
    children = [child for child in os.scandir(parent) if wanted(child.name)]
    below = os.open(parent, os.O_PATH | os.O_DIRECTORY)
    try:
        linux.mount_tmpfs(parent, mode=stat.S_IMODE(os.stat(parent).st_mode))
        for child in children:
            _show_again(Path(f"/proc/self/fd/{below}/{child.name}"), parent / child.name)
    finally:
        os.close(below)


def _show_again(source: Path, target: Path) -> None:
    if source.is_symlink():
        target.symlink_to(source.readlink())
        return
    if source.is_dir():
        target.mkdir()
    else:
        target.touch()
    linux.mount_bind(source, target)


def _private_etc(layer: Path) -> None:
    """A writable layer over /etc that lives in the state: users, groups and units are made in there."""
    mounted = {point: os.open(point, os.O_PATH) for point in _mounts_below(Path("/etc"))}
    upper, work = layer / "upper", layer / "work"
    for folder in (upper, work):
        folder.mkdir(parents=True, exist_ok=True)
    try:
        linux.mount_overlay(Path("/etc"), upper=upper, work=work)
    except OSError:
        linux.mount_bind(_copy_of_etc(layer), Path("/etc"))
    for point, descriptor in mounted.items():
        linux.mount_bind(Path(f"/proc/self/fd/{descriptor}"), point)
        os.close(descriptor)
    _write(Path("/etc/systemd/journald.conf.d/slipway.conf"), _JOURNALD)
    _write(Path("/etc/systemd/user.conf.d/slipway.conf"), _MANAGER)
    # Ours alone, without what the distribution starts for people at a desk. systemd reads all of this folder whenever
    # there is a new unit, which in an overlay costs several times as much.
    units, shown = layer / "units", Path("/etc/systemd/user")
    for folder in (units, shown):
        folder.mkdir(parents=True, exist_ok=True)
    linux.mount_bind(units, shown)
    machine_id = Path("/etc/machine-id")
    if not machine_id.is_file() or len(machine_id.read_text().strip()) != 32:
        machine_id.unlink(missing_ok=True)  # journald names its folder by it
        _write(machine_id, uuid.uuid4().hex + "\n")


def _copy_of_etc(layer: Path) -> Path:
    """For where the state's file system cannot carry an overlay, as when it is one itself in a container."""
    copy = layer / "copy"
    if not copy.exists():
        scratch = layer / "copy.new"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree("/etc", scratch, symlinks=True)
        scratch.rename(copy)
    return copy


def _mounts_below(parent: Path) -> list[Path]:
    """Where something is mounted below `parent`; containers mount resolv.conf and hosts so."""
    points = (Path(line.split()[4]) for line in Path("/proc/self/mountinfo").read_text().splitlines())
    return [point for point in points if point != parent and point.is_relative_to(parent)]


def _private_runtime(state: State) -> None:
    """The folders that say to libsystemd that systemd runs here, and those that it writes its sockets to."""
    for folder in (Path("/run/systemd/system"), Path("/run/log"), Path("/run/lock"), Path("/var/log/journal")):
        folder.mkdir(parents=True, exist_ok=True)
    RUNTIME.mkdir(mode=0o700)
    flushed = Path("/run/systemd/journal/flushed")  # so marked, journald writes to /var/log/journal from its start
    flushed.parent.mkdir()
    flushed.touch()
    _make_inaccessible(Path("/run/systemd/inaccessible"))
    state.journal.mkdir(exist_ok=True)
    shutil.chown(state.journal, group="systemd-journal")
    state.journal.chmod(0o2755)  # the group is inherited: its members may read
    linux.mount_bind(state.journal, Path("/var/log/journal"))


def _make_inaccessible(folder: Path) -> None:
    """What systemd mounts over paths that a unit may not see; its process 1 makes one of each kind at boot."""
    folder.mkdir()
    (folder / "dir").mkdir(mode=0)
    for kind, name in _INACCESSIBLE.items():
        try:
            os.mknod(folder / name, kind)
        except PermissionError:
            continue  # a container may not make devices; systemd then takes the empty file


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
