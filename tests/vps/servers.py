"""Throw-away servers: a real Debian booted with its own systemd as process 1, by systemd-nspawn.

Each runs on a layer above a base image, in control groups and a network of its own (a manager that is started in the
machine's root group would take over every process of the machine). Those with a kernel of their own: machines.py.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import tomllib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.vps import images
from tests.vps.images import CannotBoot
from tests.vps.network import Network
from tests.vps.reliability import Story

PARTS = ("daemon", "host", "postgresql", "nginx")
"""Slipway's own services."""
_GROUPS = Path("/sys/fs/cgroup")
_BOOT_SECONDS = 60
_START = """
set -eu
for root in {groups}; do
  mkdir -p "$root/{name}"
  if [ -e "$root/cpuset.cpus" ]; then
    cat "$root/cpuset.cpus" >"$root/{name}/cpuset.cpus"
    cat "$root/cpuset.mems" >"$root/{name}/cpuset.mems"
  fi
  echo $$ >"$root/{name}/cgroup.procs"
done
exec unshare --mount --propagation private --cgroup sh -euc '
for root in {groups}; do mount --bind "$root/{name}" "$root"; done
mount -t overlay overlay -o "lowerdir={below},upperdir={layer}/upper,workdir={layer}/work" "{layer}/root"
exec systemd-nspawn --quiet --directory="{layer}/root" --register=no --keep-unit --resolv-conf=copy-host \\
  --console=pipe --machine={name} --network-namespace-path={network} --bind-ro={checkout}:/checkout \
  --capability=CAP_NET_ADMIN /sbin/vps-init'
"""


class Server(ABC):
    """What tests do with one, however it runs."""

    slowness = 1.0
    """How many times longer anything may take."""

    def __init__(self, system: str, network: Network) -> None:
        self.system = system
        self.network = network
        self.network.remove()
        self.name = self.network.name
        self._layer = Path(tempfile.mkdtemp(prefix="vps-", dir="/var/tmp"))
        self._layer.chmod(0o755)
        self._process: subprocess.Popen[bytes] | None = None
        self.story = Story()
        """What a test does to it, for docs/reliability.md."""

    @property
    def address(self) -> str:
        return self.network.address

    @property
    def base(self) -> str:
        """The panel's name, which apps' names end with."""
        return f"{self.address.replace('.', '-')}.sslip.io"

    # ---- its life

    @abstractmethod
    def boot(self) -> None: ...

    @abstractmethod
    def _kill(self) -> None:
        """End it at once."""

    @abstractmethod
    def _await_end(self) -> None: ...

    def await_running(self) -> None:
        deadline = time.monotonic() + _BOOT_SECONDS * self.slowness
        state = ""
        while time.monotonic() < deadline:
            with contextlib.suppress(LookupError):
                state = self.run("systemctl", "is-system-running").stdout.strip()
                if state in ("running", "degraded"):
                    return
            assert self._process is not None
            if self._process.poll() is not None:
                break
            time.sleep(0.2)
        raise CannotBoot(f"the server did not boot ({state}):\n{self.console()}")

    def reboot(self) -> None:
        """As `reboot` does it: every unit is stopped first."""
        self._power_off()
        self.boot()

    def cut_power(self) -> None:
        """Everything ends at once, nothing is told."""
        self._kill()
        self.boot()

    def _power_off(self) -> None:
        with contextlib.suppress(LookupError):  # it may be off before it has answered
            self.run("systemctl", "poweroff")
        self._await_end()

    def end(self) -> None:
        self._kill()
        self.network.remove()
        shutil.rmtree(self._layer, ignore_errors=True)

    # ---- inside

    def run(self, *argv: str, timeout: float = 120, given: str | None = None) -> "subprocess.CompletedProcess[str]":
        """A command in it, as its root; its exit code is not checked. Raises LookupError where it does not run."""
        seconds = timeout * self.slowness
        return subprocess.run(
            self.entering(*argv), input=given, capture_output=True, text=True, timeout=seconds, check=False
        )

    @abstractmethod
    def entering(self, *argv: str) -> list[str]:
        """The command of this machine that runs a command in it. Raises LookupError where it does not run."""

    @abstractmethod
    def files(self) -> Path:
        """Where its files can be read from this machine, as they are now."""

    def must(self, *argv: str, timeout: float = 120) -> str:
        done = self.run(*argv, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(argv)}: {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-4000:]}"
        return done.stdout

    def put(self, path: str, text: str) -> None:
        done = self.run("tee", path, given=text)
        assert done.returncode == 0, done.stderr

    def json(self, *command: str, timeout: float = 120) -> Any:
        return json.loads(self.must("slipway", *command, "--json", timeout=timeout))

    def kill(self, part: str) -> None:
        """kill -9 of one of PARTS, whole."""
        self.must("systemctl", "kill", "--signal=KILL", f"slipway-{self.own_id()}-{part}.service")

    def does(self, what: str) -> None:
        self.story.does(what)

    def own_id(self) -> str:
        """The installation's."""
        return str(tomllib.loads(self.must("cat", "/etc/slipway/slipway.toml"))["installation"]["id"])

    def until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> None:
        """Wait until something is so."""
        seconds *= self.slowness
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, f"it did not come to pass within {seconds:g} s that {what}"
            time.sleep(0.2)

    def console(self) -> str:
        return (self._layer / "console.log").read_text(errors="replace")[-4000:]


CLEAN = ("env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root")


class Container(Server):
    def __init__(self, system: str, network: Network, *installed: Path) -> None:
        """`installed`: layers of servers that were shut down, which this one goes on from."""
        super().__init__(system, network)
        self._below = [*installed, images.base(system)]

    # ---- its life

    def boot(self) -> None:
        for folder in ("upper", "work", "root"):
            (self._layer / folder).mkdir(exist_ok=True)
        if not self.network.path.exists():
            self.network.make()
        start = _START.format(
            groups=" ".join(str(root) for root in _roots()),
            name=self.name,
            below=":".join(str(folder) for folder in self._below),
            layer=self._layer,
            network=self.network.path,
            checkout=images.CHECKOUT,
        )
        with (self._layer / "console.log").open("ab") as log:
            self._process = subprocess.Popen(["bash", "-c", start], stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.await_running()
        self.root.unlink(missing_ok=True)
        self.root.symlink_to(f"/proc/{self._leader()}/root")

    def shut_down(self) -> Path:
        """For good; → its layer, for other servers to go on from."""
        self._power_off()
        return self._layer / "upper"

    def _kill(self) -> None:
        """What the kernel had not written yet, the machine keeps for it."""
        for root in _roots():
            for group in (root / self.name).rglob("cgroup.procs"):
                with contextlib.suppress(OSError):
                    for pid in group.read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
        self._await_end()

    def _await_end(self) -> None:
        if self._process is not None:
            self._process.wait(60)
            self._process = None
        for root in _roots():
            folders = sorted((root / self.name).rglob("*/"), key=lambda path: -len(path.parts))
            for folder in [*folders, root / self.name]:
                with contextlib.suppress(OSError):
                    folder.rmdir()

    # ---- inside

    def entering(self, *argv: str) -> list[str]:
        return ["nsenter", "--target", str(self._leader()), "--all", "--wdns=/", "--", *CLEAN, *argv]

    def limit_memory(self, megabytes: int) -> None:
        """Give it so much, as a small server has it, and let its kernel say so; until it is booted again."""
        for root in _roots():
            for name in ("memory.limit_in_bytes", "memory.max"):
                if (limit := root / self.name / name).exists():
                    limit.write_text(str(megabytes * 2**20))
        told = re.sub(r"(?m)^MemTotal:.*", f"MemTotal: {megabytes * 1024} kB", self.must("cat", "/proc/meminfo"))
        self.put("/run/meminfo", told)
        self.must("mount", "--bind", "/run/meminfo", "/proc/meminfo")

    @property
    def root(self) -> Path:
        """Its files as it sees them, /run and /proc too; the same path over reboots."""
        return self._layer / "inside"

    def files(self) -> Path:
        return self.root

    def _leader(self) -> int:
        """Its process 1, as this machine counts."""
        assert self._process is not None
        below = [self._process.pid]
        while below:
            pid = below.pop()
            with contextlib.suppress(OSError):
                if Path(f"/proc/{pid}/comm").read_text().strip() == "systemd":
                    return pid
                below += map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        raise LookupError("the server does not run")


def _roots() -> list[Path]:
    """The mounted hierarchies of control groups, v1 or v2."""
    if (_GROUPS / "cgroup.procs").exists():
        return [_GROUPS]
    return [path for path in sorted(_GROUPS.iterdir()) if not path.is_symlink() and (path / "cgroup.procs").exists()]


@contextlib.contextmanager
def booted(system: str, network: Network, *installed: Path) -> Iterator[Container]:
    one = Container(system, network, *installed)
    try:
        one.boot()
        yield one
    finally:
        one.end()
