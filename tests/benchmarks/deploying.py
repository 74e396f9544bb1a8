"""What a deployment and a rollback cost in the server."""

import asyncio
import os
import socket
import subprocess
import time
from datetime import datetime
from typing import Any

from slipway.host.protocol import Inspect
from tests.benchmarks.bench_box import APP, ENVIRONMENT, BenchBox
from tests.benchmarks.figures import Section, median, milliseconds, percentile
from tests.benchmarks.reloading import reloading
from tests.benchmarks.wire import Connection
from tests.integration.conftest import free_port

DEPLOYMENTS = 20
ROLLBACKS = 20
STARTS = 10
OVERHEAD, FIRST_LINE, ROLLBACK = 1.0, 0.3, 0.2

SAID = f"""\
{DEPLOYMENTS} redeployments of `examples/hello`, each of a new commit, one right after the other. It has no build
command, so that all of `building` is Slipway's own. The overhead is request to live, less the fetch, less the app's
own start (measured by itself: from starting the program to its port listening). The first line is on the log's event
stream, counted from before the request for the deployment was sent. A rollback counts from before its request was
sent to the first answer of the other release through nginx, over TLS on a kept connection. Beside it: the time from
rewriting a fixed upstream and reloading nginx to the first answer of the other release."""


async def measure(bench: BenchBox) -> Section:
    section = Section("Deploying and rolling back", SAID, ["", "median", "p95", "target"])
    start = median([_own_start(bench) for _ in range(STARTS)])
    totals: list[float] = []
    overheads: list[float] = []
    first_lines: list[float] = []
    phases: dict[str, list[float]] = {}
    for _ in range(DEPLOYMENTS):
        bench.commit()
        waited, found = await _deploy(bench)
        first_lines.append(waited)
        total = _seconds(found["deployment"])
        seconds = {phase["phase"]: phase["seconds"] for phase in found["phases"]}
        totals.append(total)
        overheads.append(total - seconds["fetching"] - start)
        for phase, took in seconds.items():
            phases.setdefault(phase, []).append(took)
    ways = await _rollbacks(bench)

    def row(name: str, values: list[float], verdict: str = "") -> None:
        section.add(name, milliseconds(median(values)), milliseconds(percentile(values, 95)), verdict)

    row("**overhead in the server**", overheads, section.verdict(median(overheads), OVERHEAD, " s"))
    row("request to live, all of it", totals)
    for phase, took in phases.items():
        row(f"· {phase}", took)
    section.add("the app's own start, by itself", milliseconds(start), "", "")
    row("**request to first log line**", first_lines,
        section.verdict(percentile(first_lines, 95), FIRST_LINE, " s at p95"))  # fmt: skip
    answered, lived = ways
    row("**rollback to a warm standby**, first answer", answered,
        section.verdict(median(answered), ROLLBACK, " s"))  # fmt: skip
    row("rollback, until it is recorded as live", lived)
    row("an nginx reload instead, first answer", await _reloads(bench))
    return section


async def _deploy(bench: BenchBox) -> tuple[float, Any]:
    """Seconds to the first line, and the deployment with its phases."""
    began = time.monotonic()
    started = await bench.api("POST", f"{ENVIRONMENT}/deployments", b"{}")
    stream = await bench.events(f"/api/apps/{APP}/deployments/{started['id']}/log/stream")
    while "event: line" not in await stream.next():
        pass
    waited = time.monotonic() - began
    stream.connection.close()
    return waited, await bench.until_ended(started["id"])


def _seconds(deployment: Any) -> float:
    begin, end = (datetime.fromisoformat(deployment[name]) for name in ("created_at", "ended_at"))
    return (end - begin).total_seconds()


def _own_start(bench: BenchBox) -> float:
    """Seconds that the app itself needs to listen."""
    port = free_port()
    began = time.monotonic()
    program = subprocess.Popen(
        ["python3", "server.py"], cwd=bench.repository, env={**os.environ, "PORT": str(port)},
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                return time.monotonic() - began
            except OSError:
                time.sleep(0.002)
    finally:
        program.terminate()
        program.wait()


async def _rollbacks(bench: BenchBox) -> tuple[list[float], list[float]]:
    """Seconds to the first answer of the other release, and until the rollback is recorded as live."""
    newest = await bench.api("GET", f"{ENVIRONMENT}/releases")
    numbers = [release["number"] for release in newest[:2]]
    answered, lived = [], []
    for _ in range(ROLLBACKS):
        numbers.reverse()
        body = f'{{"to": {numbers[0]}}}'.encode()
        connection = await Connection.open(bench.app)
        began = time.monotonic()
        asked = asyncio.create_task(bench.api("POST", f"{ENVIRONMENT}/rollback", body))
        while (await connection.ask("GET", "/whoami")).json["release"] != f"v{numbers[0]}":
            await asyncio.sleep(0.002)
        answered.append(time.monotonic() - began)
        connection.close()
        lived.append(_seconds((await bench.until_ended((await asked)["id"]))["deployment"]))
    return answered, lived


async def _reloads(bench: BenchBox) -> list[float]:
    slots = await bench.api("GET", f"{ENVIRONMENT}/slots")
    route = (await bench.host.call(Inspect(environment=slots[0]["environment_id"]))).routes[0]
    first = bench.settings["apps"]["first_port"] + (route.place - 1) * 24
    newest = sorted(slots, key=lambda slot: -slot["release_number"])[:2]
    ports = (first + (newest[0]["number"] - 1) * 8, first + (newest[1]["number"] - 1) * 8)
    with reloading(bench, ports) as rival:
        return [await rival.switch_and_wait() for _ in range(ROLLBACKS)]
