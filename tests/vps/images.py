"""Base images: the bare Debian that a provider hands out, made once by debootstrap and kept."""

import fcntl
import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".slipway-vps"
SUITES = {"debian-12": "bookworm", "debian-13": "trixie"}
_MIRROR = "http://deb.debian.org/debian"
_PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,curl,git,iproute2,procps,python3,sudo"

_INIT = """\
#!/bin/sh
# On control groups v1 the container's own are mounted read-only: systemd is to set limits.
for controller in memory pids cpu cpuacct blkio cpuset devices freezer; do
  [ ! -d /sys/fs/cgroup/$controller ] || mount -o remount,bind,rw,nosuid,nodev,noexec /sys/fs/cgroup/$controller
done
exec /lib/systemd/systemd
"""


def base(system: str) -> Path:
    """The tree of a bare system, never to be changed: servers run on a layer above it."""
    tree = CACHE / system
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{system}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            scratch = tree.with_suffix(".new")
            shutil.rmtree(scratch, ignore_errors=True)
            argv = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", SUITES[system], str(scratch), _MIRROR]
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise RuntimeError(f"debootstrap failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
            _finish(scratch, system)
            scratch.rename(tree)
    return tree


def _finish(tree: Path, system: str) -> None:
    suite = SUITES[system]
    (tree / "sbin/vps-init").write_text(_INIT)
    (tree / "sbin/vps-init").chmod(0o755)
    (tree / "etc/hostname").write_text("vps\n")
    security = f"http://deb.debian.org/debian-security {suite}-security"
    (tree / "etc/apt/sources.list").write_text(f"deb {_MIRROR} {suite} main\ndeb {security} main\n")
    # Whatever authorities this machine trusts for its registries, and how its apt reaches them.
    trusted = tree / "usr/local/share/ca-certificates"
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", trusted / "machine.crt")
    subprocess.run(["chroot", str(tree), "update-ca-certificates"], check=True, capture_output=True)
    for setting in Path("/etc/apt/apt.conf.d").glob("9*"):
        shutil.copy(setting, tree / "etc/apt/apt.conf.d")
