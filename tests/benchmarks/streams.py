"""2,000 watchers of one deployment's log on one daemon, beside one alone."""

import asyncio
import json
import sys

from tests.benchmarks.bench_box import APP, ENVIRONMENT, BenchBox
from tests.benchmarks.figures import Section, median, milliseconds, percentile
from tests.integration.conftest import run

WATCHERS = 2000
LINES = 20
EVERY = 0.5
SPARE = 0.2

SAID = f"""\
A build prints the time, to the nanosecond, every {EVERY * 1000:.0f} ms, {LINES} times; each watcher of its log's event
stream, on the daemon's web socket with an API token, takes the time when a line reaches it. The watchers are another
process on the same cores. Each column is over all lines and all watchers of two builds. Most of one watcher's delay
is journald's: it tells its readers of new entries at most every 250 ms."""


async def measure(bench: BenchBox) -> Section:
    section = Section(
        "Watchers of one log", SAID, ["watchers", "lines seen", "median", "p95", "p99", "longest", "target"]
    )
    token = make_token(bench)
    command = f"sleep 12; for i in $(seq {LINES}); do echo tick $(date +%s.%N); sleep {EVERY}; done"
    await bench.api("PATCH", ENVIRONMENT, json.dumps({"settings": {"build_command": command}}).encode())
    found: dict[int, list[float]] = {1: [], WATCHERS: []}
    try:
        for _ in range(2):
            for count in found:
                found[count] += await _watched(bench, token, count, section)
    finally:
        await bench.api("PATCH", ENVIRONMENT, json.dumps({"settings": {"build_command": None}}).encode())
    alone = percentile(found[1], 95)
    for count, delays in found.items():
        most = percentile(delays, 95)
        target = "" if count == 1 else section.verdict(most - alone, SPARE, " s beyond one's at p95")
        section.add(
            f"{count:,}", f"{len(delays):,}", milliseconds(median(delays)), milliseconds(most),
            milliseconds(percentile(delays, 99)), milliseconds(max(delays)), target,
        )  # fmt: skip
    return section


def make_token(bench: BenchBox, email: str = "bench@example.org") -> str:
    """Of an account made by the setup link, as people make theirs."""
    link = bench.box.slipway("setup-link").stdout.strip()
    form = ["--data-urlencode", "name=Bench", "--data-urlencode", f"email={email}"]
    made = run(
        "curl", "--silent", "--fail", "--cacert", str(bench.certificate), "--output", "/dev/null",
        "--header", f"Origin: {link.partition('/setup')[0]}", *form,
        "--data-urlencode", "password=correct horse battery", link,
    )  # fmt: skip
    if made.returncode != 0:
        raise RuntimeError(f"no account could be made: {made.stderr}")
    return str(bench.box.json("token", "create", "--name", "bench", "--email", email)["token"])


async def _watched(bench: BenchBox, token: str, count: int, section: Section) -> list[float]:
    """Delays of all lines at all watchers of one build, in seconds."""
    started = await bench.api("POST", f"{ENVIRONMENT}/deployments", b"{}")
    path = f"/api/apps/{APP}/deployments/{started['id']}/log/stream"
    watching = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.watchers", str(bench.web.socket), bench.web.host, path, str(count),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await watching.communicate(token.encode())
    seen = json.loads(said)
    if seen["broken"]:
        section.failures.append(f"{seen['broken']} of {count} streams broke: {seen['why']}")
    expected = count * LINES
    if len(seen["delays"]) != expected:
        section.failures.append(f"{len(seen['delays']):,} lines of {expected:,} reached {count} watchers")
    await bench.until_ended(started["id"])
    return list(seen["delays"])
