import asyncio
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import date

from tests.benchmarks import crowd, deploying, memory, reconciling, servers, streams, switches, throughput, ticking
from tests.benchmarks.bench_box import BenchBox, bench_box
from tests.benchmarks.figures import Section
from tests.integration.conftest import CHECKOUT

Measure = Callable[[BenchBox], Awaitable[Section]]
BENCHMARKS: dict[str, Measure] = {
    "memory": memory.measure,
    "switches": switches.measure,
    "deploying": deploying.measure,
    "throughput": throughput.measure,
    "streams": streams.measure,
    "crowd": crowd.measure,
    "ticking": ticking.measure,
    "install": servers.install,
    "server-memory": servers.memory,
    "reconciling": reconciling.measure,
}
REPORT = CHECKOUT / "docs/BENCHMARKS.md"


def main(names: list[str]) -> int:
    unknown = set(names) - set(BENCHMARKS)
    if unknown:
        print(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}", file=sys.stderr)
        return 2
    sections = asyncio.run(_measure(names or list(BENCHMARKS)))
    REPORT.write_text(_report(sections, _earlier() if names else {}))
    failures = [f"{section.title}: {failure}" for section in sections for failure in section.failures]
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


async def _measure(names: list[str]) -> list[Section]:
    sections = []
    with bench_box() as bench:
        for name in names:
            began = time.monotonic()
            section = await BENCHMARKS[name](bench)
            sections.append(section)
            print(f"{section.text()}\n({name}: {time.monotonic() - began:.0f} s)\n", flush=True)
    return sections


def _earlier() -> dict[str, str]:
    """Title → chapter, of the report that there is."""
    chapters = re.split(r"^(?=## )", REPORT.read_text(), flags=re.MULTILINE)[1:]
    return {chapter.partition("\n")[0].removeprefix("## "): chapter.strip() for chapter in chapters}


def _report(sections: list[Section], chapters: dict[str, str]) -> str:
    """With the chapters of earlier runs that were not measured now."""
    measured = f"*Measured on {date.today():%d %B %Y}.*"
    chapters |= {section.title: f"{section.text()}\n{measured}" for section in sections}
    head = f"""\
# Benchmarks

Written by `make bench`, or `make bench ONLY="memory switches"`; the figures are as measured, the bad ones too.
{_machine()}
Clients, server, database and the measured apps shared its cores, so that ratios within a table say more than single
figures do.
"""
    return "\n\n".join([head.strip(), *chapters.values()]) + "\n"


def _machine() -> str:
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"The machine: {os.cpu_count()} cores, {memory_gib:.0f} GiB of memory, "
        f"Linux {platform.release().split('-')[0]}, "
        f"{_said('nginx', '-v').replace('nginx version: ', '')}, "
        f"PostgreSQL {_said('psql', '--version').split()[2]}, Python {platform.python_version()}."
    )


def _said(*argv: str) -> str:
    return subprocess.run(argv, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT).stdout.strip()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
