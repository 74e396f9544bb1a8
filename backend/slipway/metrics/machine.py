"""What the whole machine uses: the kernel's own counters, by psutil, which needs no rights for them."""

import os
import time
from pathlib import Path

import msgspec
import psutil

from slipway.metrics.models import BoxUsed


class Size(msgspec.Struct, frozen=True):
    """What there is to use."""

    cores: int
    memory: int
    disk: int


class _Counters(msgspec.Struct, frozen=True):
    at: float
    cpu_seconds: float
    received_bytes: int
    sent_bytes: int


class Machine:
    """`apps` is a folder on the disk that apps lie on."""

    def __init__(self, apps: Path) -> None:
        self._apps = apps
        self._before: _Counters | None = None

    def size(self) -> Size:
        return Size(os.cpu_count() or 1, psutil.virtual_memory().total, self._disk()[1])

    def read(self) -> BoxUsed:
        """What came since the look before; of the first one, only what is held."""
        now, before = _counters(), self._before
        self._before = now
        memory = psutil.virtual_memory()
        held = BoxUsed(
            memory=memory.total - memory.available,
            swap=psutil.swap_memory().used,
            disk=self._disk()[0],
            load=os.getloadavg()[0],
        )
        if before is None or now.at <= before.at:
            return held
        return msgspec.structs.replace(
            held,
            measured_seconds=now.at - before.at,
            cpu_seconds=max(0.0, now.cpu_seconds - before.cpu_seconds),
            # A network that is gone takes its counters along.
            received_bytes=max(0, now.received_bytes - before.received_bytes),
            sent_bytes=max(0, now.sent_bytes - before.sent_bytes),
        )

    def _disk(self) -> tuple[int, int]:
        """(used, total); nothing where the folder is not there yet."""
        try:
            found = psutil.disk_usage(str(self._apps))
        except OSError:
            return 0, 0
        return found.used, found.total


def _counters() -> _Counters:
    cpu = psutil.cpu_times()
    # A guest's time is in the user's already; waiting for a disk is idling.
    busy = cpu.user + cpu.nice + cpu.system + cpu.irq + cpu.softirq + cpu.steal
    networks = [io for name, io in psutil.net_io_counters(pernic=True, nowrap=False).items() if name != "lo"]
    return _Counters(
        at=time.monotonic(),
        cpu_seconds=busy,
        received_bytes=sum(io.bytes_recv for io in networks),
        sent_bytes=sum(io.bytes_sent for io in networks),
    )
