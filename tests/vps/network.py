"""Networks for test servers: each has a namespace of its own, and reaches the outside through this machine.

A container is in that namespace. A machine is plugged into it, with the same address, beside what serves it there.
A server listens on its own ports 80 and 443 and has firewall rules of its own, and this machine's are not touched but
for one table that hides the servers' addresses behind its own.
"""

import ctypes
import fcntl
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from tests.vps.images import CannotBoot

_TABLE = "slipway_vps"
_CLONE_NEWNET = 0x40000000
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


_LOCKS = Path("/run/slipway-vps")


class Network:
    """10.78.N.1 is this machine, 10.78.N.2 the server, 10.78.N.3 what serves it if it is a machine of its own. N is one
    that no other run of tests has."""

    tap = "machine"
    """The network device, in the namespace, of a machine of its own."""

    def __init__(self) -> None:
        number, self._lock = _free_number()
        self.name = f"slipway-vps-{number}"
        self._outside, self._inside = f"vps{number}", f"vps{number}p"
        self.gateway, self.address, self.beside = (f"10.78.{number}.{place}" for place in (1, 2, 3))

    @property
    def path(self) -> Path:
        return Path("/run/netns") / self.name

    def make(self) -> None:
        self.remove()
        _FORWARD.write_text("1")
        rules = f"""table ip {_TABLE} {{
            chain leaving {{ type nat hook postrouting priority srcnat; ip saddr 10.78.0.0/16 masquerade; }}
        }}"""
        # In one transaction: other servers' connections go on.
        _run("nft", f"table ip {_TABLE}\ndelete table ip {_TABLE}\n{rules}", argv=["-f", "-"])
        for command in (
            ["netns", "add", self.name],
            ["link", "add", self._outside, "type", "veth", "peer", "name", self._inside],
            ["link", "set", self._inside, "netns", self.name],
            ["addr", "add", f"{self.gateway}/24", "dev", self._outside],
            ["link", "set", self._outside, "up"],
            ["-n", self.name, "addr", "add", f"{self.address}/24", "dev", self._inside],
            ["-n", self.name, "link", "set", self._inside, "up"],
            ["-n", self.name, "link", "set", "lo", "up"],
            ["-n", self.name, "route", "add", "default", "via", self.gateway],
        ):
            _run("ip", argv=command)

    def make_with_tap(self) -> None:
        """For a machine of its own, which is plugged into `tap`."""
        self.make()
        for command in (
            ["addr", "del", f"{self.address}/24", "dev", self._inside],
            ["link", "add", "bridge", "type", "bridge"],
            ["tuntap", "add", self.tap, "mode", "tap"],
            ["link", "set", self._inside, "master", "bridge"],
            ["link", "set", self.tap, "master", "bridge"],
            ["addr", "add", f"{self.beside}/24", "dev", "bridge"],
            ["link", "set", "bridge", "up"],
            ["link", "set", self.tap, "up"],
        ):
            _run("ip", argv=["-n", self.name, *command])

    def listen(self, port: int) -> socket.socket:
        """On the loopback address of its namespace; a socket stays in the one that it was made in."""
        with ThreadPoolExecutor(1) as apart:
            return apart.submit(self._listen, port).result()

    def _listen(self, port: int) -> socket.socket:
        """For a thread that does nothing else: it stays in the namespace (setns(2))."""
        libc = ctypes.CDLL(None, use_errno=True)
        with self.path.open("rb") as namespace:
            if libc.setns(namespace.fileno(), _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"the namespace {self.name} cannot be entered")
        return socket.create_server(("127.0.0.1", port))

    def give_back(self) -> None:
        """For other runs to use."""
        self.remove()
        self._lock.close()

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        subprocess.run(["ip", "link", "del", self._outside], capture_output=True, check=False)


def _free_number() -> tuple[int, IO[str]]:
    """→ a number, and what holds it: the kernel lets go of the lock when this process ends."""
    _LOCKS.mkdir(exist_ok=True)
    for number in range(1, 250):
        lock = (_LOCKS / str(number)).open("w")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            return number, lock
    raise AssertionError("249 test servers run already")


def _run(program: str, given: str = "", *, argv: list[str]) -> None:
    done = subprocess.run([program, *argv], input=given, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotBoot(f"{program} {' '.join(argv)}: {done.stderr.strip()}")
