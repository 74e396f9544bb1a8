"""The daemon's own user, taken over, tries to become root through the agent: every verb, everything wrong with it."""

import asyncio
import contextlib
import json
import os
import random
import re
import resource
import socket
import struct
import subprocess
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import msgspec
import pytest

from slipway.errors import Invalid
from slipway.host.agent.files import UNREADABLE
from slipway.host.agent.server import MAX_CONNECTIONS, MAX_WATCHERS
from slipway.host.frames import LENGTH_BYTES
from slipway.host.protocol import MAX_FRAME, Inspect, Refused, RemoveEnvironment, Request, Response, Status, StopWork

from .conftest import Rig, Rigged, numbers, until
from .hostile_requests import MARK, Case, Requests, framed

SEED = int(os.environ.get("SLIPWAY_FUZZ_SEED", "20261121"))
BY_CHANCE = 1500
MOST_MEMORY = 400 * 2**20
ANSWER_SECONDS = 60
_requests: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Request)
_answers: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Response)

DOOR = """
import socket, sys
parent = socket.socket(fileno=int(sys.argv[1]))
while parent.recv(1):
    one = socket.socket(socket.AF_UNIX)
    one.connect("host.sock")
    socket.send_fds(parent, [b"x"], [one.fileno()])
    one.close()
"""
"""Connects as the user that it runs as, and hands the connection over: the kernel remembers who connected."""


class Door:
    """The agent's socket, opened as the user `slipway`."""

    def __init__(self, rig: Rig) -> None:
        user, group = (int(rig.box.enter("id", option, "slipway").stdout) for option in ("-u", "-g"))
        self._ours, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            ["/usr/bin/python3", "-I", "-c", DOOR, str(theirs.fileno())],
            pass_fds=[theirs.fileno()], cwd=rig.state / "run/slipway", user=user, group=group, extra_groups=[],
        )  # fmt: skip
        theirs.close()

    def open(self) -> socket.socket:
        self._ours.send(b"x")
        _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1)
        opened = socket.socket(fileno=descriptors[0])
        opened.settimeout(ANSWER_SECONDS)
        return opened

    def ask(self, body: bytes) -> Any:
        """→ the answer; None where the agent closed without one."""
        with self.open() as connection:
            with contextlib.suppress(BrokenPipeError):
                connection.sendall(framed(body))
            return answer_on(connection)

    def close(self) -> None:
        self._ours.close()
        self._process.wait(10)


def answer_on(connection: socket.socket) -> Any:
    with contextlib.suppress(ConnectionResetError):
        head = connection.recv(LENGTH_BYTES, socket.MSG_WAITALL)
        if len(head) == LENGTH_BYTES:
            return _answers.decode(connection.recv(struct.unpack(">I", head)[0], socket.MSG_WAITALL))
    return None


@pytest.fixture
def door(rig: Rig) -> Iterator[Door]:
    one = Door(rig)
    yield one
    one.close()


@pytest.fixture
def nest(rig: Rig) -> Iterator[str]:
    """Where a canary would land: open to every user, outside of every private /tmp."""
    folder: str = rig.box.enter("mktemp", "--directory", "/var/tmp/nest-XXXXXX").stdout.strip()
    assert rig.box.enter("chmod", "1777", folder).returncode == 0
    yield folder
    assert rig.box.enter("rm", "--recursive", folder).returncode == 0


@pytest.fixture
async def other(rig: Rig) -> AsyncIterator[Rigged]:
    """Somebody else's environment: live, with a worker and a secret."""
    made = await rig.environment()
    await made.release({"worker": "exec sleep 1000"}, {"SECRET": "hidden"})
    await made.start("worker")
    yield made
    await rig.host.call(RemoveEnvironment(made.number, made.place))


def things_of(environment: Rigged) -> dict[str, Any]:
    """Right values by field name."""
    build = environment.builds[-1]
    return {
        "environment": environment.number, "place": environment.place, "build": build, "previous_build": build,
        "id": next(numbers), "app": next(numbers),  # no mirror: nothing is built
        "repository": "/nowhere/at/all", "branch": "main", "hostnames": [f"e{environment.number}.localhost"],
        "release": 1, "generation": 1, "release_generation": 1, "slot": 0, "process": "worker", "stack": "procfile",
        "processes": {"worker": "exec sleep 1000"}, "variables": {}, "seconds": 5, "log_bytes": 1000, "count": 1,
        "directory": f"/srv/slipway/builds/{build}/app", "public_folder": f"/srv/slipway/builds/{build}/app",
        "limits": {"memory": 128, "tasks": 64}, "expected": 0, "target": 0, "base_directory": "", "commit": "0" * 40,
    }  # fmt: skip


async def test_no_request_of_the_daemons_user_makes_the_agent_do_what_it_must_not(
    rig: Rig, environment: Rigged, other: Rigged, door: Door, nest: str
) -> None:
    await environment.release({"worker": "exec sleep 1000"})
    before, theirs = outside(rig), await state_of(other)
    agent = agent_pid(rig)
    requests = Requests(things_of(environment), things_of(other), nest)

    count = 0
    for cases in (
        requests.with_foreign_things(),
        requests.strange(),
        requests.with_one_wrong(),
        requests.by_chance(random.Random(SEED), BY_CHANCE),
    ):
        count += await asyncio.to_thread(send_all, door, cases)
        await rig.host.call(Status())
        check_units(rig)
        assert rig.box.enter("grep", "-rl", MARK, "/etc/systemd", "/etc/slipway").stdout == ""
    print(f"{count} requests")

    assert agent_pid(rig) == agent, "the agent died"
    assert outside(rig) ^ before == set(), "a file outside of Slipway's folders changed"
    assert rig.box.enter("ls", "--almost-all", nest).stdout == "", "something took text for a command"
    assert await state_of(other) == theirs, "another environment was touched"
    mine = {(one.number, one.place) for one in (environment, other)}
    box = await rig.host.call(Inspect())
    for kind, number in box.work:
        await rig.host.call(StopWork(kind, number))
    for route in box.routes:
        # By chance, one that is not there was prepared, or one's own removed and prepared elsewhere.
        if (route.environment, route.place) not in mine:
            await rig.host.call(RemoveEnvironment(route.environment, route.place))


def send_all(door: Door, cases: Iterable[Case]) -> int:
    count = 0
    for case in cases:
        about = f"with SLIPWAY_FUZZ_SEED={SEED}, {case.said}: {case.body[:300]!r}"
        answer = door.ask(case.body)
        assert answer is not None, f"no answer; {about}"
        refused = isinstance(answer, Refused)
        assert not (refused and "fault in the host agent" in answer.message), f"{answer.message}; {about}"
        if case.foreign or not fits(case.body):
            assert refused, f"{answer}; {about}"
        count += 1
    return count


def fits(body: bytes) -> bool:
    """Whether the protocol takes it at all."""
    try:
        _requests.decode(body)
    except (Invalid, *UNREADABLE):
        return False
    return True


def outside(rig: Rig) -> set[str]:
    """Every file that root's rights hang on, with when it last changed: all but Slipway's own."""
    prune = [
        "/etc/slipway", f"/etc/systemd/*/{rig.prefix}-*", "/etc/apt/apt.conf.d/90slipway",
        "/etc/passwd*", "/etc/group*", "/etc/shadow*", "/etc/gshadow*", "/etc/.pwd.lock", "/etc/subuid*",
        "/etc/subgid*",
    ]  # fmt: skip
    ways = [word for path in prune for word in ("-path", path, "-prune", "-o")]
    roots = ["/etc", "/usr/local/bin", "/usr/local/sbin", "/usr/lib/systemd", "/var/spool/cron"]
    # An empty folder's own times say nothing: useradd makes its lock files in /etc.
    listed = rig.box.enter("find", *roots, *ways, "!", "-type", "d", "-printf", "%p %C@ %s %m %U\\n")
    return set(listed.stdout.splitlines())


async def state_of(environment: Rigged) -> object:
    """What another's environment consists of, and what runs of it."""
    number, build = environment.number, environment.builds[-1]
    own = [f"/srv/slipway/{path}" for path in (f"builds/{build}", f"launch/{number}", f"data/{number}")]
    files = environment.rig.box.enter("find", *own, "-printf", "%p %C@ %s %m %U %G\\n").stdout
    (worker,) = await environment.instances()
    return files, worker.main_pid, worker.active


def agent_pid(rig: Rig) -> int:
    shown = rig.box.systemctl("show", "--property=MainPID", "--value", rig.box.unit("host"))
    return int(shown.stdout)


def check_units(rig: Rig) -> None:
    """Nothing but Slipway's own programs is ever started, and by nobody but the environment's users."""
    allowed = re.compile(
        r"Exec(?:Start=/usr/bin/python3 -I -S \S+/launcher\.py /srv/slipway/launch/|"
        r"Start=\S+/venv/bin/python -I -m slipway\.(?:host\.fetcher|builds\.builder) /run/slipway/orders/|"
        r"(?:Stop|StopPost)=\+/usr/bin/python3 -I -S \S+/exit_reporter\.py )\S*"
    )
    units = "".join(file.read_text() for file in rig.box.unit_files.glob(f"{rig.prefix}-*-*.service"))
    ours = re.compile(
        r"Exec\w+=(?:/bin/rm|/bin/kill|/bin/ch(?:own|mod)|/usr/sbin/nginx|\S+/postgres|\S+/venv/bin/python) "
    )
    commands = [line for line in units.splitlines() if line.startswith("Exec")]
    assert any("launcher" in line for line in commands)
    for line in commands:
        assert allowed.match(line) or ours.match(line), line
    for user in re.findall(r"^(?:User|Group)=(.*)$", units, re.MULTILINE):
        assert re.fullmatch(r"sl-[a-z0-9]{4}-[rb]\d+|slipway(?:-[a-z]+)?", user), user


async def test_however_much_one_client_takes_the_operator_is_answered_and_it_is_too_afterwards(
    rig: Rig, door: Door
) -> None:
    """Connections without end, frames that are announced and never sent, answers that nobody reads."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 2 * MAX_CONNECTIONS)), hard))
    greedy = [door.open() for _ in range(MAX_CONNECTIONS + 100)]
    try:
        for one in greedy:
            one.setblocking(False)
        for one in greedy[:200]:
            with contextlib.suppress(OSError):
                one.send(struct.pack(">I", MAX_FRAME))
        rest = b"x" * 1_000_000
        for _ in range(11):
            for one in greedy[:200]:
                with contextlib.suppress(OSError):
                    one.send(rest)
            await rig.host.call(Status())
        assert memory_of(rig, agent_pid(rig)) < MOST_MEMORY

        async def cut_off() -> bool:
            await rig.host.call(Status())
            return all(is_closed(one) for one in greedy)

        await until(cut_off)
    finally:
        for one in greedy:
            one.close()

    async def served() -> bool:
        return (await asyncio.to_thread(door.ask, b'{"verb":"status"}')) is not None

    await until(served)


async def test_a_client_may_watch_from_few_places_and_read_or_not(rig: Rig, door: Door) -> None:
    watching = [door.open() for _ in range(MAX_WATCHERS + 1)]
    try:
        for one in watching:
            one.sendall(framed(b'{"verb":"watch"}'))
        answers = await asyncio.to_thread(lambda: [answer_on(one) for one in watching])
        assert [isinstance(answer, Refused) for answer in answers].count(True) == 1
        await rig.host.call(Status())
    finally:
        for one in watching:
            one.close()


async def test_bytes_that_come_one_by_one_and_frames_that_end_early_are_taken_as_they_come(door: Door) -> None:
    def byte_by_byte() -> Any:
        with door.open() as connection:
            for byte in framed(b'{"verb":"status"}'):
                connection.send(bytes([byte]))
            return answer_on(connection)

    assert json.loads(msgspec.json.encode(await asyncio.to_thread(byte_by_byte)))["answer"] == "status"
    whole = framed(b'{"verb":"status"}')
    for length in range(len(whole)):
        with door.open() as connection:
            connection.sendall(whole[:length])
            connection.shutdown(socket.SHUT_WR)
            assert await asyncio.to_thread(answer_on, connection) is None
    assert await asyncio.to_thread(door.ask, b'{"verb":"status"}') is not None


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def memory_of(rig: Rig, pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", (rig.box.proc / f"{pid}/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
