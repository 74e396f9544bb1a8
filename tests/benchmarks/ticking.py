"""What looking at everything costs, again and again, while nothing happens."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from slipway.host.protocol import ReadUsage
from tests.benchmarks.bench_box import BenchBox
from tests.benchmarks.figures import Section
from tests.integration.deployments.helpers import query

ENVIRONMENTS = 1000
FIRST = 10_000
"""Environments of ids that the box's own never reach."""
STORED = f"SELECT count(*) FROM environment_figures WHERE step = 60 AND samples > 0 AND environment_id >= {FIRST}"
SECONDS = 120
"""Eight samples and two minutes put together."""
SHARE = 1.0
"""Percent of one core."""
GROUPS = Path("/sys/fs/cgroup")

SAID = f"""\
Processor time of each part with its child processes over {SECONDS} s in which nobody asked for anything, in percent of
one core: with the example alone, and with control groups of {ENVIRONMENTS:,} environments beside it, so that each
sample (every 15 s) reads and stores as many."""


async def measure(bench: BenchBox) -> Section:
    section = Section("An idle server", SAID, ["", "one environment", f"{ENVIRONMENTS:,} environments", "target"])
    alone = await _share(bench)
    with _groups(bench):
        found = await bench.host.call(ReadUsage())
        if len(found.environments) <= ENVIRONMENTS:
            section.failures.append(f"only {len(found.environments)} environments were read")
        many = await _share(bench)
        stored = await asyncio.to_thread(query, bench.box, STORED)
        if int(stored) < ENVIRONMENTS * (SECONDS // 60 - 1):
            section.failures.append(f"only {stored} rows were made of {ENVIRONMENTS} environments' samples")
    for part, share in many.items():
        section.add(part, f"{alone[part]:.2f} %", f"{share:.2f} %", "")
    total = sum(many.values())
    verdict = section.verdict(total, SHARE, " %")
    section.add("**together**", f"{sum(alone.values()):.2f} %", f"{total:.2f} %", verdict)
    return section


async def _share(bench: BenchBox) -> dict[str, float]:
    """Part → percent of one core, over a while."""
    mains = {part: pids[0] for part, pids in bench.processes().items()}
    before = {part: _seconds(pid) for part, pid in mains.items()}
    await asyncio.sleep(SECONDS)
    return {part: 100 * (_seconds(pid) - before[part]) / SECONDS for part, pid in mains.items()}


def _seconds(pid: int) -> float:
    """Processor time of a process, of its children that have ended, and of those that live (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    own = sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own + sum(_seconds(int(child)) for child in children)


@contextmanager
def _groups(bench: BenchBox) -> Iterator[None]:
    """Empty groups beside those of the example's environment, in every hierarchy that has any."""
    own = f"slipway-{bench.settings['installation']['id']}"
    parents = {path.parent for path in GROUPS.rglob(f"{own}-apps-e*.slice")}
    made = [
        parent / f"{own}-apps-e{number}.slice" for parent in parents for number in range(FIRST, FIRST + ENVIRONMENTS)
    ]
    try:
        for folder in made:
            folder.mkdir()
        yield
    finally:
        for folder in made:
            if folder.exists():
                folder.rmdir()
