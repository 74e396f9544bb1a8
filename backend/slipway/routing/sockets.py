"""Who listens on a port, and how many connections it has: read from Linux's own tables.

Format: proc(5), /proc/net/tcp: `sl local_address rem_address st … uid`; addresses and ports in hex,
addresses as 32-bit words in host order.
"""

import socket
import struct
from pathlib import Path

import msgspec

_ESTABLISHED = "01"
_LISTEN = "0A"


class Listener(msgspec.Struct, frozen=True):
    address: str
    uid: int

    @property
    def is_reached_on_loopback(self) -> bool:
        return self.address in ("127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1", "::ffff:0.0.0.0")  # noqa: S104


def listeners(port: int, proc: Path = Path("/proc/net")) -> list[Listener]:
    """Every socket that listens on the port, with the user that opened it."""
    return [
        Listener(_address(local.rpartition(":")[0]), uid)
        for local, state, uid in _rows(proc)
        if state == _LISTEN and int(local.rpartition(":")[2], 16) == port
    ]


def established(ports: set[int], proc: Path = Path("/proc/net")) -> int:
    """How many connections to these local ports are open, counted at the side that accepted them."""
    return sum(
        1 for local, state, _ in _rows(proc) if state == _ESTABLISHED and int(local.rpartition(":")[2], 16) in ports
    )


def _rows(proc: Path) -> list[tuple[str, str, int]]:
    rows = []
    for name in ("tcp", "tcp6"):
        try:
            lines = (proc / name).read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            rows.append((fields[1], fields[3], int(fields[7])))
    return rows


def _address(packed: str) -> str:
    words = [struct.pack("=I", int(packed[i : i + 8], 16)) for i in range(0, len(packed), 8)]
    data = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def ports_of(uid: int, proc: Path = Path("/proc/net")) -> list[int]:
    """The ports on which a user's programs listen."""
    return sorted(
        {int(local.rpartition(":")[2], 16) for local, state, owner in _rows(proc) if state == _LISTEN and owner == uid}
    )
