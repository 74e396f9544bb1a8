"""Which ports and user ids an installation takes, so that several on one machine never meet.

The ranges are cut into blocks. The state's path says which block is tried first; one that a running installation
holds, or in which something listens or runs, is passed over. A running installation holds its block by the name
of its control groups, which all of the machine can see.
"""

import contextlib
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway.errors import Unavailable
from slipway.local import cgroups
from slipway.settings import LAST_PORT, PORTS_PER_PLACE, Apps

_FIRST_PORT = 10000
_FIRST_UID = 30000
_PLACES = 75
_PORTS = _PLACES * PORTS_PER_PLACE
_UIDS = 2400
_BLOCKS = (LAST_PORT + 1 - _FIRST_PORT) // _PORTS
_LISTEN = "0A"


class Block(msgspec.Struct, frozen=True):
    number: int

    @property
    def apps(self) -> Apps:
        return Apps(
            first_port=_FIRST_PORT + self.number * _PORTS,
            places=_PLACES,
            first_uid=_FIRST_UID + self.number * _UIDS,
            uids=_UIDS,
        )


def of(apps: Apps) -> Block:
    return Block((apps.first_port - _FIRST_PORT) // _PORTS)


def choose(folder: Path) -> Block:
    """A block that nothing on this machine uses now. Raises Unavailable when there is none."""
    start = int.from_bytes(hashlib.sha256(str(folder).encode()).digest()[:4], "big")
    held = set(_held())
    ports = listening_ports()
    uids = _running_uids()
    for step in range(_BLOCKS):
        block = Block((start + step) % _BLOCKS)
        if block.number not in held and not _meets(block.apps, ports, uids):
            return block
    raise Unavailable(
        f"each of the {_BLOCKS} ranges of ports from {_FIRST_PORT} to {LAST_PORT} is in use on this machine. "
        "Stop another installation (its `slipway down`), and try again."
    )


@contextlib.contextmanager
def choosing() -> Iterator[None]:
    """Between looking for a free block and holding it, no other installation may look. Waits for its turn."""
    machine = os.open("/sys/fs/cgroup", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(machine, fcntl.LOCK_EX)
        yield
    finally:
        os.close(machine)


def _meets(apps: Apps, ports: set[int], uids: set[int]) -> bool:
    own_ports = range(apps.first_port, apps.first_port + _PORTS)
    own_uids = range(apps.first_uid, apps.first_uid + apps.uids)
    return any(port in own_ports for port in ports) or any(uid in own_uids for uid in uids)


def group_name(installation_id: str, block: Block) -> str:
    return f"slipway-{installation_id}-{block.number}"


def holder(block: Block) -> str | None:
    """The id of the running installation that holds a block."""
    return _held().get(block.number)


def _held() -> dict[int, str]:
    held = {}
    for root in cgroups.hierarchies():
        for folder in root.glob("slipway-*"):
            if match := re.fullmatch(r"slipway-([a-z0-9]{4})-(\d+)", folder.name):
                held[int(match[2])] = match[1]
    return held


def listening_ports() -> set[int]:
    """TCP ports on which something of this machine listens (/proc/net/tcp, proc(5))."""
    return set(_listening())


def _listening() -> Iterator[int]:
    for name in ("tcp", "tcp6"):
        table = Path("/proc/net") / name
        if table.exists():
            for line in table.read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == _LISTEN:
                    yield int(fields[1].rpartition(":")[2], 16)


def _running_uids() -> set[int]:
    uids = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            uids.add(process.stat().st_uid)
        except FileNotFoundError:
            continue
    return uids
