"""The agent's door: who may ask, what it tells by itself, and how it answers nonsense."""

import asyncio
import os
import struct
import subprocess
from typing import Any

import pytest

from slipway.errors import HostRefused
from slipway.host.protocol import (
    Changed,
    FindWork,
    Inspect,
    Limits,
    PrepareEnvironment,
    PutRelease,
    RemoveEnvironment,
    StartBuild,
    StartFetch,
    Status,
    StopInstances,
    WorkKind,
)
from slipway.plan import BuildOverrides

from .conftest import Rig, Rigged, numbers, until

ASK = """
import socket, struct, sys
body = b'{"verb":"read-key"}'
connection = socket.socket(socket.AF_UNIX)
connection.connect("/run/slipway/host.sock")
connection.sendall(struct.pack(">I", len(body)) + body)
print(connection.recv(65536)[4:].decode())
"""


async def test_the_agent_says_which_installation_it_is(rig: Rig) -> None:
    assert f"slipway-{(await rig.host.call(Status())).installation}" == rig.prefix


@pytest.mark.parametrize("user", ["slipway-fetch", "slipway-nginx", "slipway-check", "nobody"])
async def test_only_the_daemon_and_root_may_ask(rig: Rig, user: str) -> None:
    # As a member of the socket's group, so that the file's mode is not what refuses.
    argv = ["setpriv", f"--reuid={user}", "--regid=slipway", "--clear-groups", "/usr/bin/python3", "-c", ASK]
    said = rig.box.enter(*argv).stdout
    assert "refused" in said
    assert "may not ask" in said


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"{}", b'{"verb":"rm"}', b"\xff\xfe", b'{"verb":"find-work","kind":"x","id":1}']
)
async def test_nonsense_is_refused_and_the_agent_goes_on(rig: Rig, body: bytes) -> None:
    reader, writer = await asyncio.open_unix_connection(str(rig.state / "run/slipway/host.sock"))
    writer.write(struct.pack(">I", len(body)) + body)
    answer = await reader.read()
    writer.close()
    assert b'"code":"invalid"' in answer
    await rig.host.call(Status())


async def test_a_frame_larger_than_any_is_not_read(rig: Rig) -> None:
    reader, writer = await asyncio.open_unix_connection(str(rig.state / "run/slipway/host.sock"))
    writer.write(struct.pack(">I", 2**31))
    assert await reader.read() == b""
    writer.close()


async def test_a_watcher_hears_of_instances_work_and_exits(environment: Rigged) -> None:
    heard: list[Changed] = []

    async def listen() -> None:
        async for change in environment.rig.host.watch():
            heard.append(change)  # noqa: PERF401  one by one, as they come

    listening = asyncio.create_task(listen())
    await environment.release({"worker": "sleep 0.3; exit 1"})
    await environment.start("worker")

    async def all_is_heard() -> bool:
        return (
            any(change.instance and change.instance.environment == environment.number for change in heard)
            and {change.work[0] for change in heard if change.work} == {WorkKind.FETCH, WorkKind.BUILD}
            and any(change.exit for change in heard)
        )

    await until(all_is_heard)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_hostile_branches_variables_and_commands_are_refused_and_nothing_runs(
    rig: Rig, environment: Rigged
) -> None:
    await environment.release({"worker": "true"})
    plan: Any = (await environment.build({"Procfile": "web: true\n"}))[1].plan
    for branch in ("--upload-pack=touch /tmp/canary", "a..b", "a b", "-x", "$(touch /tmp/canary)", "a\nb"):
        with pytest.raises(HostRefused):
            await rig.host.call(StartFetch(next(numbers), 1, str(rig.repository), branch))
    for variables in ({"A B": "x"}, {"A=": "x"}, {"": "x"}, {"A": "\0"}, {"A\n": "x"}, {"A": "x" * 200_000}):
        with pytest.raises(HostRefused):
            await rig.host.call(PutRelease(environment.number, 1, 1, environment.builds[-1], plan, {}, variables))
    for command in ("", "a\nb", "a\0b", "x" * 5000):
        with pytest.raises(HostRefused):
            await rig.host.call(
                PutRelease(environment.number, 1, 1, environment.builds[-1], plan, {"web": command}, {})
            )
    assert rig.box.enter("sh", "-c", "ls /tmp/canary 2>/dev/null; true").stdout == ""


async def test_preparing_twice_gives_the_same_users_and_a_place_is_given_once(rig: Rig, environment: Rigged) -> None:
    again = await rig.host.call(PrepareEnvironment(environment.number, environment.place))
    assert (again.run_uid, again.build_uid) == (environment.run_uid, environment.build_uid)
    with pytest.raises(HostRefused, match="belongs to"):
        await rig.host.call(PrepareEnvironment(next(numbers), environment.place))
    with pytest.raises(HostRefused, match="not prepared"):
        await rig.host.call(StopInstances(next(numbers), 1))


async def test_a_removed_environment_leaves_nothing_and_its_users_never_come_back(rig: Rig) -> None:
    made = await rig.environment()
    await made.release({"worker": "mkdir -p $HOME/a/b; chmod 0 $HOME/a; exec sleep 1000"})
    await made.start("worker")
    await made.site()
    for _ in range(2):
        await rig.host.call(RemoveEnvironment(made.number, made.place))
    found = subprocess.run(
        ["find", str(rig.state), "-uid", str(made.run_uid), "-o", "-uid", str(made.build_uid), "-o",
         "-name", f"*{made.number}*"],
        capture_output=True, text=True, check=False,
    ).stdout.splitlines()  # fmt: skip
    # The mirror is the app's, and outlives its environments.
    assert [path for path in found if "/mirrors/" not in path] == []
    assert made.number not in (await rig.host.call(Inspect())).environments
    assert str(made.run_uid) not in rig.box.enter("cat", "/etc/passwd").stdout
    later = await rig.environment()
    assert later.run_uid > made.build_uid
    await rig.host.call(RemoveEnvironment(later.number, later.place))


async def test_what_cannot_be_emptied_is_tried_again_and_its_users_stay_until_it_is(rig: Rig) -> None:
    made = await rig.environment()
    held = made.data / "held"
    held.mkdir()
    (held / "file").write_text("of root's own, so that the run user cannot delete it")
    await rig.host.call(RemoveEnvironment(made.number, made.place))
    (left,) = (rig.state / "srv/slipway/trash").glob(f"*-run-{made.number}")
    assert str(made.run_uid) in rig.box.enter("cat", "/etc/passwd").stdout
    assert made.number not in (await rig.host.call(Inspect())).environments
    other = next(numbers)
    await rig.host.call(PrepareEnvironment(other, made.place))  # its place is free at once
    await rig.host.call(RemoveEnvironment(other, made.place))
    await asyncio.to_thread(rig.kill_agent)
    await rig.host.call(Status())
    assert left.exists()
    for path in (left / "held", left / "held/file"):
        os.chown(path, made.run_uid, made.run_uid)

    async def gone() -> bool:
        users = rig.box.enter("cat", "/etc/passwd", "/etc/group").stdout
        return not left.exists() and not any(f":{uid}:" in users for uid in (made.run_uid, made.build_uid))

    await until(gone, 60)


async def test_a_full_disk_does_not_end_the_agent_that_is_to_empty_the_trash(rig: Rig) -> None:
    made = await rig.environment()
    held = made.data / "held"
    held.mkdir()
    (held / "file").write_text("of root's own, so that it stays until the disk is full")
    await rig.host.call(RemoveEnvironment(made.number, made.place))
    (left,) = (rig.state / "srv/slipway/trash").glob(f"*-run-{made.number}")
    agent = agent_pid(rig)
    limit_written(rig, agent, "0")
    try:
        await until(lambda: said_of(rig, agent, left.name, "File too large"), 120)
        assert agent_pid(rig) == agent
    finally:
        limit_written(rig, agent, "unlimited")
    for path in (left / "held", left / "held/file"):
        os.chown(path, made.run_uid, made.run_uid)

    async def gone() -> bool:
        return not left.exists()

    await until(gone, 240)
    assert agent_pid(rig) == agent


async def test_a_fault_in_finishing_what_was_deleted_is_tried_again_by_the_same_agent(rig: Rig) -> None:
    leaving = rig.state / "var/lib/slipway/agent/leaving"
    made = await rig.environment()
    await rig.host.call(RemoveEnvironment(made.number, made.place))  # makes the folder
    aside = leaving.rename(leaving.with_name("aside"))
    try:
        leaving.write_text("no folder")
        await asyncio.to_thread(rig.kill_agent)
        await rig.host.call(Status())
        agent = agent_pid(rig)
        await until(lambda: said_of(rig, agent, "still there", "File exists"))
    finally:
        leaving.unlink()
        aside.rename(leaving)
    mark = leaving / str(next(numbers))
    mark.touch()

    async def finished() -> bool:
        return not mark.exists()

    await until(finished)
    assert agent_pid(rig) == agent


def agent_pid(rig: Rig) -> str:
    shown: str = rig.box.systemctl("show", "-P", "MainPID", rig.box.unit("host")).stdout
    return shown.strip()


def limit_written(rig: Rig, pid: str, size: str) -> None:
    """Every file of a process may have so many bytes: with none, it meets what it would on a full disk."""
    done = rig.box.enter("prlimit", f"--pid={pid}", f"--fsize={size}:")
    assert done.returncode == 0, done


async def said_of(rig: Rig, pid: str, *words: str) -> bool:
    """Whether one line that a process logged holds all these words."""
    log = rig.box.enter("journalctl", "--no-pager", "--quiet", "--output=cat", f"_PID={pid}").stdout
    return any(all(word in line for word in words) for line in log.splitlines())


async def test_an_environment_is_removed_in_the_middle_of_its_build(rig: Rig) -> None:
    made = await rig.environment()
    commit = rig.commit({"Procfile": "web: true\n"})
    assert (await rig.fetch(made.number)).ok
    number = next(numbers)
    sleeping = BuildOverrides(build_command="sleep 4545")
    await rig.host.call(
        StartBuild(number, made.number, made.number, number, commit, "", sleeping, {}, Limits(), 60, 100_000)
    )
    await rig.host.call(RemoveEnvironment(made.number, made.place))
    assert rig.processes_of(made.build_uid) == []
    assert (await rig.host.call(FindWork(WorkKind.BUILD, number))).state.value == "unknown"
    assert not (rig.state / f"srv/slipway/builds/{number}").exists()


async def test_work_that_nobody_started_is_unknown(rig: Rig) -> None:
    for kind in WorkKind:
        assert (await rig.host.call(FindWork(kind, next(numbers)))).state.value == "unknown"
