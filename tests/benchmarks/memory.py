"""What the parts of Slipway hold in memory while nothing happens."""

import asyncio
from pathlib import Path

from tests.benchmarks.bench_box import BenchBox
from tests.benchmarks.figures import Section

DEPLOYMENTS = 5
SETTLE_SECONDS = 10
DAEMON, ALL = 80, 160

SAID = """\
PSS from `/proc/PID/smaps_rollup`, in MB, each part with its child processes (the daemon's reader of the journal,
PostgreSQL's backends, nginx's workers); after the start with one app live, and again after five deployments, each
time ten seconds later. Where another Slipway runs on the same machine, PSS counts its share of the code."""


async def measure(bench: BenchBox) -> Section:
    section = Section("Idle memory", SAID, ["", "after the start", f"after {DEPLOYMENTS} deployments", "target"])
    await asyncio.sleep(SETTLE_SECONDS)
    before = _held(bench)
    for _ in range(DEPLOYMENTS):
        bench.commit()
        await bench.deploy()
    await asyncio.sleep(SETTLE_SECONDS)
    after = _held(bench)
    for part in before:
        target = section.verdict(after[part], DAEMON, " MB") if part == "daemon" else ""
        section.add(part, f"{before[part]:.1f}", f"{after[part]:.1f}", target)
    total = sum(after.values())
    section.add("**together**", f"{sum(before.values()):.1f}", f"{total:.1f}", section.verdict(total, ALL, " MB"))
    return section


def _held(bench: BenchBox) -> dict[str, float]:
    return {part: sum(pss(pid) for pid in pids) for part, pids in bench.processes().items()}


def pss(pid: int) -> float:
    """In MB (10⁶ bytes)."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024 / 1e6
