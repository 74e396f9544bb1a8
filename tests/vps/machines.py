"""Throw-away machines: for what a container cannot show, since it borrows the kernel of the machine that tests run on.

Each has Debian's own kernel, with control groups v2, BPF and pressure stall information, and a disk that holds after a
cut of power what was written to it, and nothing else. Without hardware that helps they are emulated, and slow.
"""

import contextlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.vps import images
from tests.vps.images import CannotBoot
from tests.vps.network import Network
from tests.vps.servers import CLEAN, Container, Server

PROGRAMS = ("qemu-system-x86_64", "qemu-img", "mke2fs", "ssh", "ssh-keygen")
ACCELERATION = os.environ.get("ACCELERATION", "tcg,thread=multi")
"""`kvm` on hardware that has it."""
MEMORY = 1536
"""Megabytes."""
INSTALL = ("/opt/slipway/current/venv/bin/python", "-I", "-m", "slipway", "server", "install")
_DISK = "8G"
_DRIVE = "disk"
_KERNELS = {"debian": "linux-image-cloud-amd64", "ubuntu": "linux-image-virtual"}
_INTERFACE = """[Match]
Type=ether

[Network]
Address={address}/24
Gateway={gateway}
"""
_PACK = """
mount -t overlay overlay -o "ro,lowerdir={layers}" "{folder}/root"
mke2fs -q -t ext4 -L root -d "{folder}/root" "{folder}/disk.img" {size}
"""
_NOT_REACHED = 255
"""ssh's exit status of its own (ssh(1))."""

_LOOK = """
import json, os
os.chdir("/")
folders, files = [], {}
for top, depth in FOLDERS.items():
    for place, below, names in os.walk(top):
        folders += [place, *(place + "/" + name for name in below)]
        files.update((place + "/" + name, "") for name in names)
        if place.count("/") - top.count("/") >= depth:
            below.clear()
processes = ["proc/" + name for name in os.listdir("proc") if name.isdigit()]
for path in [*FILES, *(process + "/" + name for process in processes for name in ("status", "cgroup", "cmdline"))]:
    try:
        with open(path, errors="replace") as file:
            files[path] = file.read()
    except OSError:
        pass  # it has just ended
print(json.dumps({"folders": folders, "files": files}))
"""
_FOLDERS = {"etc/slipway": 2, "etc/systemd": 2, "run/slipway": 1, "srv/slipway": 2, "var/cache/slipway": 1,
            "var/lib/slipway": 2}  # fmt: skip
"""What is shown by its names, and how far below."""
_FILES = ["etc/slipway/slipway.toml", "etc/passwd", "proc/1/net/tcp"]


@dataclass(frozen=True)
class Image:
    """A disk that machines start from, their kernel, and the key to them."""

    system: str
    network: Network
    """Its address is the one that they have."""
    folder: Path


@contextlib.contextmanager
def image(system: str, network: Network, *installed: Path) -> Iterator[Image]:
    """Of a server whose layers are given: with a kernel, an address and a way in beside what is there."""
    folder = Path(tempfile.mkdtemp(prefix="image-", dir="/var/tmp"))
    try:
        _run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key"))
        container = Container(system, network, *installed)
        try:
            container.boot()
            _prepare(container, (folder / "key.pub").read_text())
            layer = container.shut_down()
            for name in ("vmlinuz", "initrd.img"):
                shutil.copy(max(layer.glob(f"boot/{name}-*")), folder / name)
            (folder / "root").mkdir()
            layers = ":".join(str(one) for one in (layer, *installed, images.base(system)))
            script = _PACK.format(layers=layers, folder=folder, size=_DISK)
            _run("unshare", "--mount", "--propagation=private", "sh", "-euc", script)
        finally:
            container.end()
        yield Image(system, network, folder)
    finally:
        shutil.rmtree(folder)


def _prepare(container: Container, key: str) -> None:
    packages = [_KERNELS[container.system.partition("-")[0]], "udev", "openssh-server"]
    apt = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "--quiet", "--yes"]
    container.must(*apt, "update", timeout=300)
    container.must(*apt, "install", "--no-install-recommends", *packages, timeout=900)
    # What it was given by its memory was by this machine's.
    container.limit_memory(MEMORY)
    container.must(*INSTALL, timeout=300)
    interface = _INTERFACE.format(address=container.network.address, gateway=container.network.gateway)
    container.put("/etc/systemd/network/10-tests.network", interface)
    container.must("systemctl", "enable", "--quiet", "systemd-networkd", "ssh")
    container.must("mkdir", "-p", "-m", "700", "/root/.ssh")
    container.put("/root/.ssh/authorized_keys", key)


class Machine(Server):
    slowness = 1 if ACCELERATION.startswith("kvm") else 10

    def __init__(self, image: Image, served: int) -> None:
        """`served`: a port of its loopback that is answered from its network's."""
        super().__init__(image.system, image.network)
        self._image = image
        self._served = served
        self._way_in: subprocess.Popen[bytes] | None = None
        below = ["-b", str(image.folder / "disk.img"), "-F", "raw"]
        _run("qemu-img", "create", "-q", "-f", "qcow2", *below, str(self._layer / "disk.qcow2"))

    # ---- its life

    def boot(self) -> None:
        self._switch_on()
        try:
            self.await_running()
        except CannotBoot:
            # Once in some hundred boots an emulated kernel stumbles over code that it has just patched in itself.
            if self.slowness == 1 or "Kernel panic" not in self.console():
                raise
            self._kill()
            self._switch_on()
            self.await_running()

    def _switch_on(self) -> None:
        if not self.network.path.exists():
            self.network.make_with_tap()
        qemu = [
            "qemu-system-x86_64", "-nodefaults", "-display", "none", "-no-reboot",
            "-accel", ACCELERATION, "-cpu", "max", "-smp", "2", "-m", str(MEMORY),
            "-kernel", str(self._image.folder / "vmlinuz"), "-initrd", str(self._image.folder / "initrd.img"),
            "-append", "root=LABEL=root rw console=ttyS0 quiet panic=1",
            "-drive", f"file={self._layer}/disk.qcow2,if=virtio,id={_DRIVE},format=qcow2,cache=none",
            "-qmp", f"unix:{self._layer}/qmp,server=on,wait=off",
            "-netdev", f"tap,id=network,ifname={self.network.tap},script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=network,romfile=",
            "-device", "virtio-rng-pci",
            "-chardev", f"file,id=console,path={self._layer}/console.log,append=on", "-serial", "chardev:console",
        ]  # fmt: skip
        with (self._layer / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen([*self._beside(), *qemu], stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _kill(self) -> None:
        """As when its power is cut: what its kernel had not written yet is lost."""
        if self._process is not None:
            self._process.kill()
        self._await_end()

    def _await_end(self) -> None:
        if self._process is not None:
            self._process.wait(60 * self.slowness)
            self._process = None
        if self._way_in is not None:
            self._way_in.kill()
            self._way_in.wait()
            self._way_in = None

    def slow_disk(self, operations: int, megabytes: int) -> None:
        """From now on it does no more than so many of either in a second; 0: as many as it can. Until it is off."""
        limits = {"iops": operations, "bps": megabytes * 2**20}
        none = dict.fromkeys(("iops_rd", "iops_wr", "bps_rd", "bps_wr"), 0)
        throttle = {"execute": "block_set_io_throttle", "arguments": {"device": _DRIVE, **limits, **none}}
        with socket.socket(socket.AF_UNIX) as monitor:
            monitor.connect(str(self._layer / "qmp"))
            with monitor.makefile() as said:
                said.readline()  # its greeting
                for order in ({"execute": "qmp_capabilities"}, throttle):
                    monitor.sendall(json.dumps(order).encode())
                    answer = next(one for one in map(json.loads, said) if "event" not in one)
                    assert "return" in answer, answer

    # ---- inside

    def run(self, *argv: str, timeout: float = 120, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        done = super().run(*argv, timeout=timeout, given=given)
        if done.returncode == _NOT_REACHED and (self._way_in is None or self._way_in.poll() is not None):
            raise LookupError(f"the machine is not reached: {done.stderr}")
        return done

    def entering(self, *argv: str) -> list[str]:
        self._open()
        # Over the connection that there is, and no other: a command that finds none has not run.
        return [*self._ssh(), "-o", "ProxyCommand=false", "--", self.address, shlex.join([*CLEAN, *argv])]

    def _open(self) -> None:
        """One connection for all commands."""
        if self._process is None or self._process.poll() is not None:
            raise LookupError("the machine does not run")
        if self._way_in is None or self._way_in.poll() is not None:
            (self._layer / "way-in").unlink(missing_ok=True)
            served = f"127.0.0.1:{self._served}"
            argv = [*self._beside(), *self._ssh(), "-M", "-N", "-R", f"{served}:{served}", self.address]
            with (self._layer / "ssh.log").open("ab") as log:
                self._way_in = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _ssh(self) -> list[str]:
        options = [
            "BatchMode=yes", "StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR",
            "ExitOnForwardFailure=yes",
        ]  # fmt: skip
        argv = ["ssh", "-F", "none", "-l", "root", "-i", str(self._image.folder / "key")]
        return [*argv, "-S", str(self._layer / "way-in"), *(part for one in options for part in ("-o", one))]

    def _beside(self) -> list[str]:
        """What runs a command of this machine in its network."""
        return ["nsenter", f"--net={self.network.path}", "--"]

    def files(self) -> Path:
        """A copy of the few that tests compare, and of the names of the others."""
        script = f"FOLDERS, FILES = {_FOLDERS!r}, {_FILES!r}\n{_LOOK}"
        shown = json.loads(self.must("python3", "-I", "-S", "-c", script))
        copy = self._layer / "files"
        shutil.rmtree(copy, ignore_errors=True)
        for name in shown["folders"]:
            (copy / name).mkdir(parents=True, exist_ok=True)
        for name, text in shown["files"].items():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            (copy / name).write_text(text)
        return copy


def _run(*argv: str) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CannotBoot(f"{' '.join(argv)}: {done.stderr.strip()}")
