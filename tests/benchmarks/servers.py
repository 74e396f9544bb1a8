"""A bare server by the one line: how long each step takes, and what it all holds on 1 GB of memory."""

import asyncio
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.bench_box import BenchBox
from tests.benchmarks.figures import Section
from tests.vps import authority, images
from tests.vps.conftest import GIT, Provider
from tests.vps.network import Network
from tests.vps.outside import ask, base_of
from tests.vps.servers import Container, Server

SYSTEM, MEGABYTES = "debian-12", 1024
TARGET = 90
SETTLE_SECONDS = 10

INSTALL = f"""\
`install.sh` on a bare {SYSTEM} (systemd-nspawn, this machine's cores), from its first line to the sign-in page, over
TLS, from outside. Debian's packages lie in apt's cache; Python's and npm's come from their registries."""

MEMORY = f"""\
The same server with {MEGABYTES} MB and no swap. PSS from `/proc/PID/smaps_rollup`, in MB, of each unit with all its
processes; ten seconds after the app went live, and the most of any moment of the next deployment, which installs
Flask's packages anew. The last row is what the kernel counts for the whole server, its caches for files included."""

# Runs in the server: PSS of every unit's processes.
READER = """
import glob, json, re
held = {}
for folder in glob.glob("/proc/[0-9]*"):
    try:
        unit = re.search(r"([^/\\n]+\\.(?:service|scope))", open(folder + "/cgroup").read())
        pss = re.search(r"^Pss: +(\\d+)", open(folder + "/smaps_rollup").read(), re.M)
    except OSError:
        continue
    if unit and pss:
        held[unit[1]] = held.get(unit[1], 0) + int(pss[1]) * 1024 / 1e6
print(json.dumps(held))
"""


async def install(_: BenchBox) -> Section:
    return await asyncio.to_thread(_install)


async def memory(_: BenchBox) -> Section:
    return await asyncio.to_thread(_memory)


def _install() -> Section:
    section = Section("From a bare server to the sign-in page", INSTALL, ["step", "seconds", "target"])
    with _bare() as server:
        packages = '"${PACKAGES[@]}" "${PACKAGES_OF_A_SERVER[@]}" nodejs npm'
        download = f"apt-get -q update && apt-get -qy install --download-only --no-install-recommends {packages}"
        server.must("bash", "-c", f". /checkout/install.sh && {download}", timeout=600)
        steps = list(_steps(server))
    for said, seconds in steps:
        section.add(said, f"{seconds:.1f}", "")
    total = sum(seconds for _, seconds in steps)
    section.add("**all**", f"{total:.1f}", section.verdict(total, TARGET, " s"))
    return section


def _steps(server: Server) -> Iterator[tuple[str, float]]:
    """What the installer said it does, and for how long."""
    argv = server.entering("bash", "-c", "cd / && exec /checkout/install.sh 2>&1")
    at, doing = time.monotonic(), "beginning"
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True) as installing:
        assert installing.stdout is not None
        for line in installing.stdout:
            if line.startswith(("[", "Installing Slipway's", "Installing the pages'")):
                now = time.monotonic()
                yield doing, now - at
                at, doing = now, line.strip()
    assert installing.returncode == 0
    while ask(server, base_of(server), "/sign-in")[0] != 200:
        time.sleep(0.05)
    yield doing, time.monotonic() - at


def _memory() -> Section:
    section = Section("A server with 1 GB", MEMORY, ["", "idle", "during a build"])
    with _bare() as server, _provider(server) as provider:
        server.limit_memory(MEGABYTES)
        server.must("bash", "-c", "cd / && exec /checkout/install.sh", timeout=900)
        server.must("slipway", "apps", "create", "shop", "--repo", provider.address("flask"))
        server.must("slipway", "deploy", "shop", "--wait", timeout=300)
        time.sleep(SETTLE_SECONDS)
        idle, idle_all = _held(server), _counted(server)
        most, most_all = _held_while_deploying(server)
        own = server.own_id()
    names = sorted({*idle, *most})
    for name in names:
        if idle.get(name, 0) >= 1 or most.get(name, 0) >= 1:
            section.add(name.replace(f"-{own}", ""), f"{idle.get(name, 0):.1f}", f"{most.get(name, 0):.1f}")
    parts = [f"slipway-{own}-{part}.service" for part in ("daemon", "host", "postgresql", "nginx")]
    together = [sum(held.get(part, 0) for part in parts) for held in (idle, most)]
    section.add("**Slipway: daemon, host, postgresql, nginx**", *(f"{held:.1f}" for held in together))
    section.add("the whole server, as the kernel counts", f"{idle_all:.0f}", f"{most_all:.0f}")
    return section


def _held_while_deploying(server: Container) -> tuple[dict[str, float], float]:
    """The most of each unit, and of all at once."""
    most: dict[str, float] = {}
    most_all = 0.0
    argv = server.entering("slipway", "deploy", "shop", "--wait")
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as deploying:
        while deploying.poll() is None:
            for name, held in _held(server).items():
                most[name] = max(most.get(name, 0), held)
            most_all = max(most_all, _counted(server))
    assert deploying.returncode == 0
    return most, most_all


def _held(server: Server) -> dict[str, float]:
    found: dict[str, Any] = json.loads(server.must("python3", "-c", READER))
    return found


def _counted(server: Server) -> float:
    for name in ("memory/{}/memory.usage_in_bytes", "{}/memory.current"):
        file = Path("/sys/fs/cgroup") / name.format(server.name)
        if file.exists():
            return int(file.read_text()) / 1e6
    raise AssertionError("the kernel does not count memory")


@contextmanager
def _bare() -> Iterator[Container]:
    network = Network()
    server = Container(SYSTEM, network)
    try:
        server.boot()
        yield server
    finally:
        server.end()
        network.give_back()


@contextmanager
def _provider(server: Server) -> Iterator[Provider]:
    folder = Path(tempfile.mkdtemp(prefix="provider-", dir="/var/tmp"))
    provider = Provider(folder)
    authority.make(folder, GIT)
    shutil.copy(images.CHECKOUT / "install.sh", folder)
    provider.publish("flask", images.CHECKOUT / "examples/flask")
    serving = provider.serve(server)
    try:
        yield provider
    finally:
        serving.terminate()
        serving.wait()
        shutil.rmtree(folder)
