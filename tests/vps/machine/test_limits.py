"""Memory, pressure and figures, as a kernel with control groups v2 counts them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.vps.conftest import Provider
from tests.vps.machines import Machine
from tests.vps.outside import agrees, ask, base_of
from tests.vps.test_disks import deploy_worker
from tests.vps.test_figures import figures

EATS = """import time
time.sleep(5)
kept = []
while True:
    kept.append(bytearray(2**20))
"""
WRITES = """import os
data = os.urandom(2**20)
with open(os.path.join(os.environ["HOME"], "written"), "wb") as file:
    while True:
        file.seek(0)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
"""


def api(machine: Machine, path: str) -> Any:
    return json.loads(
        machine.must("curl", "-s", "--unix-socket", "/run/slipway/admin.sock", f"http://localhost/api/{path}")
    )


@contextmanager
def visited(machine: Machine) -> Iterator[list[int]]:
    """While one visitor after another asks the example; → what they were answered."""
    answered: list[int] = []
    over = threading.Event()

    def visit() -> None:
        while not over.is_set():
            answered.append(ask(machine, f"hello.{base_of(machine)}")[0])
            over.wait(0.5)

    visitor = threading.Thread(target=visit)
    visitor.start()
    try:
        yield answered
    finally:
        over.set()
        visitor.join()


def test_an_app_at_its_memory_limit_is_told_so_and_its_kills_are_counted(
    machine: Machine, provider: Provider, tmp_path: Path
) -> None:
    where = "apps/greedy/environments/production"
    machine.does("an app takes more memory than it may")
    files = {"Procfile": "worker: python3 eats.py\n", "eats.py": EATS}
    deploy_worker(machine, provider, tmp_path / "greedy", "greedy", files)
    machine.until(lambda: len(api(machine, f"{where}/crashes")["items"]) > 1, "it crashes")
    crashes = api(machine, f"{where}/crashes")["items"]
    assert all(crash["out_of_memory"] for crash in crashes), crashes
    machine.until(
        lambda: sum(point["oom_kills"] for point in figures(machine, f"{where}/metrics")) >= len(crashes),
        "the kills are counted",
    )
    counted = sum(point["oom_kills"] for point in figures(machine, f"{where}/metrics"))
    assert counted <= len(api(machine, f"{where}/crashes")["items"]) + 1
    assert ask(machine, f"hello.{base_of(machine)}")[0] == 200
    machine.must("slipway", "apps", "delete", "greedy", "--yes", "--wait")
    agrees(machine)
    machine.story.notes("each crash is told as out of memory, and counted")


def test_what_an_app_uses_of_processor_memory_and_disk_is_counted(
    machine: Machine, provider: Provider, tmp_path: Path
) -> None:
    path = "apps/writer/environments/production/metrics"
    files = {"Procfile": "worker: python3 writes.py\n", "writes.py": WRITES}
    deploy_worker(machine, provider, tmp_path / "writer", "writer", files)
    machine.does("an app writes as fast as it can; the kernel forgets what it keeps in memory of files and folders")

    def measured() -> list[dict[str, Any]]:
        return [point for point in figures(machine, path) if point["cpu"] is not None]

    machine.until(lambda: len(measured()) > 2, "it is measured")
    machine.must("sysctl", "--quiet", "vm.drop_caches=3")
    seen = len(measured())
    machine.until(lambda: len(measured()) > seen + 1, "it is measured again")
    points = measured()
    assert points[-1]["written_bytes"] > 0, "what was forced to the disk is the app's"
    assert points[-1]["memory"] > 2**20
    assert points[-1]["tasks"] >= 1
    assert all(point["cpu"] <= 2.5 for point in points), "no look counts again what was counted before"
    machine.until(lambda: any(point["cpu"] for point in figures(machine, "system/metrics")), "the server is measured")
    machine.must("slipway", "apps", "delete", "writer", "--yes", "--wait")
    agrees(machine)


def test_a_build_gives_way_when_memory_is_short_and_the_app_goes_on(
    machine: Machine, provider: Provider, tmp_path: Path
) -> None:
    assert machine.must("systemctl", "is-active", "systemd-oomd.service").strip() == "active"
    tmp_path.joinpath("eats.py").write_text(EATS)
    tmp_path.joinpath("Procfile").write_text("web: sleep 1000\n")
    provider.publish("builder", tmp_path)
    machine.must("slipway", "apps", "create", "builder", "--repo", provider.address("builder"))
    machine.must("slipway", "settings", "builder", "build_command=python3 eats.py")
    with visited(machine) as answered:
        machine.does("a build takes all memory that there is")
        machine.run("slipway", "deploy", "builder", "--wait", timeout=300)
    ended = machine.json("deployments", "builder")[0]
    assert ended["state"] == "failed"
    assert "short of memory" in ended["reason"], ended["reason"]
    assert set(answered) == {200}
    machine.must("slipway", "apps", "delete", "builder", "--yes", "--wait")
    agrees(machine)
    machine.story.notes(f"“{ended['reason']}”; all {len(answered)} visitors meanwhile were answered by the other app")
