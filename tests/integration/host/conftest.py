"""A host agent to ask directly: the box's own, with the daemon stopped, so that nobody else gives it orders."""

import asyncio
import itertools
import json
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway.host.client import Host
from slipway.host.protocol import (
    ExitRecord,
    Exits,
    FindWork,
    Inspect,
    Limits,
    PrepareEnvironment,
    PutRelease,
    PutSite,
    RemoveEnvironment,
    RemoveMirror,
    RunningInstance,
    StartBuild,
    StartFetch,
    StartInstances,
    StopWork,
    Work,
    WorkKind,
    WorkState,
)
from slipway.plan import BuildOverrides, Plan

PATIENCE = 60.0
numbers = itertools.count(int(time.time()) * 1000)
"""Ids are never used twice, on a box that was used before neither."""

WEB = """
import os, http.server
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = os.environ.get("SAYS", "hello").encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()
    def log_message(self, *_):
        pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 512
Server(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


async def until(condition: Callable[[], Awaitable[Any]], seconds: float = PATIENCE) -> Any:
    """What the condition gives once it gives something; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = await condition()
        if found:
            return found
        assert time.monotonic() < deadline, f"{condition} did not come true within {seconds} s"
        await asyncio.sleep(0.05)


@dataclass
class Rig:
    """The agent, and what of the machine a test looks at from outside."""

    box: Any
    host: Host
    repository: Path

    @property
    def state(self) -> Path:
        return Path(self.box.state)

    def mirrors(self) -> set[int]:
        """The apps that have one."""
        return {int(path.name) for path in (self.state / "var/lib/slipway/mirrors").iterdir() if path.name.isdigit()}

    def kill_agent(self) -> None:
        self.box.systemctl("kill", "--signal=KILL", self.box.unit("host"))

    @property
    def prefix(self) -> str:
        return f"slipway-{self.box.id}"

    def commit(self, files: dict[str, str], branch: str = "main") -> str:
        """Commit exactly these files; → the commit."""
        git(self.repository, "checkout", "-q", "-B", branch)
        git(self.repository, "rm", "-rqf", "--ignore-unmatch", ".")
        for name, text in files.items():
            file = self.repository / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        git(self.repository, "add", "-A")
        git(self.repository, "-c", "user.name=Ann", "-c", "user.email=a@example.org", "commit", "-qm", "A 'commit'",
            "--allow-empty")  # fmt: skip
        return git(self.repository, "rev-parse", "HEAD").strip()

    async def fetch(self, app: int, branch: str = "main", commit: str | None = None, repository: str = "") -> Work:
        number = next(numbers)
        await self.host.call(
            StartFetch(number, app, repository or self.box.repository(self.repository), branch, commit),
        )
        return await self.end_of(WorkKind.FETCH, number)

    async def end_of(self, kind: WorkKind, number: int) -> Work:
        async def ended() -> Work | None:
            work = await self.host.call(FindWork(kind, number))
            return work if work.state is WorkState.ENDED else None

        work: Work = await until(ended, 60)
        await self.host.call(StopWork(kind, number))
        return work

    async def environment(self) -> "Rigged":
        number = next(numbers)
        taken = {route.place for route in (await self.host.call(Inspect())).routes}
        place = next(place for place in itertools.count(1) if place not in taken)
        users = await self.host.call(PrepareEnvironment(number, place))
        return Rigged(self, number, place, users.run_uid, users.build_uid)

    async def records(self, environment: int) -> list[ExitRecord]:
        records = (await self.host.call(Exits())).records
        return [record for record in records if record.instance.environment == environment]

    def processes_of(self, uid: int) -> list[str]:
        listed: str = self.box.enter("ps", "-o", "args=", "-U", str(uid)).stdout
        return listed.splitlines()


@dataclass
class Rigged:
    """An environment under test, with one build."""

    rig: Rig
    number: int
    place: int
    run_uid: int
    build_uid: int
    builds: list[int] = field(default_factory=list)
    generation: int = 1

    @property
    def data(self) -> Path:
        return self.rig.state / f"srv/slipway/data/{self.number}"

    def folder(self, build: int) -> Path:
        return Path(f"/srv/slipway/builds/{build}")

    async def build(self, files: dict[str, str], **changes: Any) -> tuple[int, Work]:
        """A real build of these files; → its number and how it ended."""
        number = await self._begin_build(files, changes)
        return self.builds[-1], await self.rig.end_of(WorkKind.BUILD, number)

    async def unread_build(self) -> int:
        """The number of a good build that is over, and of which the result was not asked for."""
        number = await self._begin_build({"Procfile": "web: sleep 1\n"}, {})
        result = self.rig.state / f"srv/slipway/builds/{self.builds[-1]}/result.json"

        async def over() -> bool:
            return result.exists() and await self._has_exited(f"{self.rig.prefix}-build-{number}.service")

        await until(over)
        return number

    async def _has_exited(self, unit: str) -> bool:
        shown = self.rig.box.systemctl("show", "--property=SubState", "--value", unit)
        return bool(shown.stdout.strip() == "exited")

    async def _begin_build(self, files: dict[str, str], changes: dict[str, Any]) -> int:
        commit = self.rig.commit(files)
        fetched = await self.rig.fetch(self.number)
        assert fetched.ok, fetched
        build, number = next(numbers), next(numbers)
        settings: dict[str, Any] = {
            "overrides": BuildOverrides(), "variables": {}, "limits": Limits(memory=512), "seconds": 60,
            "log_bytes": 1_000_000,
        }  # fmt: skip
        settings.update(changes)
        await self.rig.host.call(
            StartBuild(number, self.number, self.number, build, commit, base_directory="", **settings)
        )
        self.builds.append(build)
        return number

    async def release(
        self, processes: dict[str, str], variables: dict[str, str] | None = None, release: int = 1
    ) -> int:
        """A release of these command lines, over a build with the web program in it."""
        if not self.builds:
            _, work = await self.build({"Procfile": "web: python3 web.py\n", "web.py": WEB})
            assert work.ok, work
        build = self.builds[-1]
        plan = Plan("procfile", None, (), (), (), processes, None, None, {}, str(self.folder(build) / "app"))
        await self.rig.host.call(
            PutRelease(self.number, release, self.generation, build, plan, processes, variables or {})
        )
        return build

    async def start(self, process: str, slot: int = 0, release: int = 1, **changes: Any) -> None:
        settings: dict[str, Any] = {"count": 1, "limits": Limits(memory=128, tasks=64), "stop_seconds": 2}
        settings.update(changes)
        await self.rig.host.call(
            StartInstances(
                environment=self.number,
                place=self.place,
                generation=self.generation,
                release=release,
                release_generation=self.generation,
                slot=slot,
                build=self.builds[-1],
                process=process,
                **settings,
            )
        )

    async def site(self, *, static: bool = False) -> str:
        hostname = f"e{self.number}.localhost"
        await self.rig.host.call(PutSite(self.number, self.place, (hostname,), static, 1))
        return hostname

    async def instances(self) -> list[RunningInstance]:
        return list((await self.rig.host.call(Inspect(self.number))).instances)

    async def record(self) -> ExitRecord:
        """The first end of any of its instances."""

        async def first() -> ExitRecord | None:
            records = await self.rig.records(self.number)
            return records[0] if records else None

        found: ExitRecord = await until(first)
        return found

    async def report(self, name: str = "report") -> dict[str, Any]:
        """What a process of it wrote as JSON into its data folder."""

        async def written() -> dict[str, Any] | None:
            file = self.data / name
            return dict(json.loads(file.read_text())) if file.exists() else None

        found: dict[str, Any] = await until(written)
        return found


def git(folder: Path, *arguments: str, given: str = "") -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], check=True, capture_output=True, text=True, input=given
    ).stdout  # fmt: skip


@pytest.fixture(scope="module")
async def rig(box: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    repository = tmp_path_factory.mktemp("repositories") / "app"
    repository.mkdir()
    git(repository, "init", "-q", "-b", "main")
    made = Rig(box, Host(Path(box.state) / "run/slipway/host.sock"), repository)
    daemon = [f"{made.prefix}-{name}" for name in ("daemon.service", "web.socket", "admin.socket")]
    box.systemctl("stop", *daemon)
    before = made.mirrors()
    yield made
    for app in made.mirrors() - before:
        await made.host.call(RemoveMirror(app))
    box.systemctl("start", *reversed(daemon))


@pytest.fixture
async def environment(rig: Rig) -> AsyncIterator[Rigged]:
    """A prepared environment; afterwards nothing of it is left."""
    made = await rig.environment()
    yield made
    await rig.host.call(RemoveEnvironment(made.number, made.place))
    assert rig.processes_of(made.run_uid) == []
    assert rig.processes_of(made.build_uid) == []
