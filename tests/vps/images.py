"""Base images: the bare Debian that a provider hands out, made once by debootstrap and kept."""

import fcntl
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
CACHE = CHECKOUT / ".slipway-vps"


@dataclass(frozen=True)
class _Distribution:
    suite: str
    mirror: str
    components: tuple[str, ...]
    security: str
    """The line of apt's for security updates, without `deb` and components."""
    script: str = ""
    """Of debootstrap's, where it may not know the suite yet."""
    keyring: Path | None = None
    """Where it is not debootstrap's own."""


def _debian(suite: str) -> _Distribution:
    security = f"http://deb.debian.org/debian-security {suite}-security"
    return _Distribution(suite, "http://deb.debian.org/debian", ("main",), security)


def _ubuntu(suite: str) -> _Distribution:
    mirror = "http://archive.ubuntu.com/ubuntu"
    return _Distribution(
        suite, mirror, ("main", "universe"), f"{mirror} {suite}-security", "gutsy", CACHE / "ubuntu-archive-keyring.gpg"
    )


SYSTEMS = {"debian-12": _debian("bookworm"), "debian-13": _debian("trixie"), "ubuntu-24.04": _ubuntu("noble")}
_UBUNTU_KEYRING = "https://archive.ubuntu.com/ubuntu/pool/main/u/ubuntu-keyring/ubuntu-keyring_2023.11.28.1_all.deb"
_PACKAGES = "systemd,systemd-sysv,dbus,ca-certificates,curl,git,iproute2,procps,python3,sudo"

_INIT = """\
#!/bin/sh
# On control groups v1 the container's own are mounted read-only: systemd is to set limits.
for controller in memory pids cpu cpuacct blkio cpuset devices freezer; do
  [ ! -d /sys/fs/cgroup/$controller ] || mount -o remount,bind,rw,nosuid,nodev,noexec /sys/fs/cgroup/$controller
done
exec /lib/systemd/systemd
"""


class CannotBoot(Exception):
    """What keeps this machine from booting test servers: not a fault of Slipway's."""


def base(system: str) -> Path:
    """The tree of a bare system, never to be changed: servers run on a layer above it."""
    tree = CACHE / system
    CACHE.mkdir(exist_ok=True)
    with (CACHE / f"{system}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tree.exists():
            scratch = tree.with_name(f"{system}.new")
            shutil.rmtree(scratch, ignore_errors=True)
            one = SYSTEMS[system]
            argv = ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}"]
            argv.append(f"--components={','.join(one.components)}")
            if one.keyring:
                _get_ubuntu_keyring(one.keyring)
                argv.append(f"--keyring={one.keyring}")
            argv += [one.suite, str(scratch), one.mirror]
            if one.script:
                argv.append(f"/usr/share/debootstrap/scripts/{one.script}")
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotBoot(f"debootstrap failed:\n{done.stdout[-3000:]}{done.stderr[-1000:]}")
            _finish(scratch, system)
            scratch.rename(tree)
    return tree


def _get_ubuntu_keyring(target: Path) -> None:
    """Debian has no package of it: the archive's own, over HTTPS."""
    with tempfile.TemporaryDirectory() as folder:
        for argv in (
            ["curl", "-fsS", "--max-time", "60", "-o", f"{folder}/keyring.deb", _UBUNTU_KEYRING],
            ["dpkg-deb", "--extract", f"{folder}/keyring.deb", folder],
        ):
            done = subprocess.run(argv, capture_output=True, text=True, check=False)
            if done.returncode != 0:
                raise CannotBoot(f"{' '.join(argv)}: {done.stderr.strip()}")
        shutil.copy(f"{folder}/usr/share/keyrings/ubuntu-archive-keyring.gpg", target)


def _finish(tree: Path, system: str) -> None:
    one = SYSTEMS[system]
    components = " ".join(one.components)
    (tree / "sbin/vps-init").write_text(_INIT)
    (tree / "sbin/vps-init").chmod(0o755)
    (tree / "etc/hostname").write_text("vps\n")
    (tree / "etc/apt/sources.list").write_text(
        f"deb {one.mirror} {one.suite} {components}\ndeb {one.security} {components}\n"
    )
    # Whatever authorities this machine trusts for its registries, and how its apt reaches them.
    trusted = tree / "usr/local/share/ca-certificates"
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", trusted / "machine.crt")
    subprocess.run(["chroot", str(tree), "update-ca-certificates"], check=True, capture_output=True)
    for setting in Path("/etc/apt/apt.conf.d").glob("9*"):
        shutil.copy(setting, tree / "etc/apt/apt.conf.d")
