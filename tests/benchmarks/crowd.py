"""10,000 clients that want event streams of one daemon: how many get one, and what the API answers meanwhile.

`python -m tests.benchmarks.crowd SOCKET HOST COUNT`, the token on stdin, is the crowd's own process: it prints JSON,
how many were answered with what, and lets go of its streams when its stdin ends.
"""

import asyncio
import json
import resource
import select
import socket
import sys
import time
from collections import Counter

from tests.benchmarks.bench_box import STREAMS_AT_ONCE, BenchBox
from tests.benchmarks.figures import Section, median, milliseconds, percentile
from tests.benchmarks.memory import pss
from tests.benchmarks.streams import make_token
from tests.benchmarks.wire import connected

CLIENTS = 10_000
ASKED = 1000
MOST = 0.1
AT_A_TIME = 25
"""Clients whose answer is awaited: as many come at once."""

SAID = f"""\
{CLIENTS:,} clients come as fast as they are answered, {AT_A_TIME} at a time, and ask for the stream of changes on the
daemon's web socket. `streams.at_once` is {STREAMS_AT_ONCE:,}: so many get one and keep it, and never read more than
its head; the others are answered 503 with `Retry-After`. Beside them one client asks for the list of apps, {ASKED:,}
times one after the other on a kept connection: before, while the crowd comes, and while it stays. The crowd is another
process on the same cores. Memory is the daemon's, as in the first table."""


async def measure(bench: BenchBox) -> Section:
    section = Section(
        "A crowd that wants event streams", SAID,
        ["", "streams", "refused", "median", "p95", "p99", "longest", "daemon", "target"],
    )  # fmt: skip
    token = make_token(bench, "crowd@example.org")
    _row(section, bench, "before", 0, 0, await _ask(bench, token), target=False)
    crowd = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.benchmarks.crowd", str(bench.web.socket), bench.web.host, str(CLIENTS),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**20,
    )  # fmt: skip
    assert crowd.stdin is not None
    assert crowd.stdout is not None
    crowd.stdin.write(f"{token}\n".encode())
    answered = asyncio.create_task(crowd.stdout.readline())
    coming = await _ask(bench, token, until=answered)
    counted = json.loads(await answered)
    streams, refused = counted.pop("200", 0), counted.pop("503", 0)
    if counted:
        section.failures.append(f"answered otherwise: {counted}")
    if streams != STREAMS_AT_ONCE:
        section.failures.append(f"{streams:,} streams are open, not {STREAMS_AT_ONCE:,}")
    _row(section, bench, "while it comes", streams, refused, coming, target=True)
    _row(section, bench, "while it stays", streams, refused, await _ask(bench, token), target=True)
    crowd.stdin.close()
    await crowd.wait()
    return section


def _row(
    section: Section, bench: BenchBox, when: str, streams: int, refused: int, times: list[float], *, target: bool
) -> None:
    worst = percentile(times, 99)
    section.add(
        when, f"{streams:,}", f"{refused:,}", milliseconds(median(times)), milliseconds(percentile(times, 95)),
        milliseconds(worst), milliseconds(max(times)), f"{sum(map(pss, bench.processes()['daemon'])):.0f} MB",
        section.verdict(worst, MOST, " s at p99") if target else "",
    )  # fmt: skip


async def _ask(bench: BenchBox, token: str, until: "asyncio.Task[bytes] | None" = None) -> list[float]:
    """Seconds of each answer; of as many as there were until something is done, but no fewer than ASKED."""
    times: list[float] = []
    async with connected(bench.web) as connection:
        while len(times) < ASKED or (until is not None and not until.done()):
            began = time.monotonic()
            answer = await connection.ask("GET", "/api/apps", None, Authorization=f"Bearer {token}")
            times.append(time.monotonic() - began)
            if answer.status != 200:
                raise RuntimeError(f"GET /api/apps: {answer.status}")
    return times


# ---- the crowd's own process


class Crowd:
    def __init__(self, path: str, request: bytes) -> None:
        self._path, self._request = path, request
        self._poll = select.epoll()
        self._waiting: dict[int, socket.socket] = {}
        self._held: list[socket.socket] = []
        self.answers: Counter[str] = Counter()

    def come(self, count: int) -> None:
        for _ in range(count):
            while len(self._waiting) >= AT_A_TIME:
                self._hear()
            one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            one.connect(self._path)
            one.sendall(self._request)
            self._waiting[one.fileno()] = one
            self._poll.register(one, select.EPOLLIN)
        while self._waiting:
            self._hear()

    def _hear(self) -> None:
        for descriptor, _ in self._poll.poll(60):
            self._poll.unregister(descriptor)
            one = self._waiting.pop(descriptor)
            head = one.recv(4096).decode(errors="replace")
            status = head.split(" ")[1] if head.startswith("HTTP/1.1 ") else "none"
            self.answers[status] += 1
            if status == "200":
                self._held.append(one)
            else:
                one.close()


def main() -> None:
    path, host, count = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, int(count) + 200)), hard))
    token = sys.stdin.readline().strip()
    request = f"GET /api/changes HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n"
    crowd = Crowd(path, request.encode())
    crowd.come(int(count))
    print(json.dumps(crowd.answers), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
