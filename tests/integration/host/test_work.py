"""Fetches, builds and release commands: what each ends with, and that a limit that was met is named."""

import asyncio
import os
import subprocess

import pytest

from slipway.errors import HostRefused
from slipway.host.protocol import (
    DeleteBuild,
    FindWork,
    Limits,
    RemoveEnvironment,
    StartBuild,
    StartReleaseCommand,
    StopWork,
    WorkKind,
    WorkState,
)
from slipway.plan import BuildOverrides

from .conftest import Rig, Rigged, git, numbers, until

PROCFILE = {"Procfile": "web: sleep 1\n"}


async def test_a_fetch_finds_the_tip_of_a_branch_and_says_whose_it_is(rig: Rig) -> None:
    commit = rig.commit({"a": "1"})
    work = await rig.fetch(next(numbers))
    assert work.ok
    assert work.fetched is not None
    assert (work.fetched.commit, work.fetched.subject, work.fetched.author) == (commit, "A 'commit'", "Ann")


async def test_a_force_pushed_branch_is_followed_and_its_old_commit_is_told_as_gone(rig: Rig) -> None:
    app = next(numbers)
    old = rig.commit({"a": "old"}, branch="forced")
    assert (await rig.fetch(app, "forced")).ok
    git(rig.repository, "-c", "user.name=x", "-c", "user.email=x@y", "commit", "-q", "--amend", "-m", "New")
    work = await rig.fetch(app, "forced")
    assert work.fetched is not None
    assert work.fetched.commit != old
    gone = await rig.fetch(app, "forced", commit=old)
    assert gone.reason is not None
    assert "not on any branch" in gone.reason


@pytest.mark.parametrize(
    "address", ["ext::sh -c id", "file:///etc", "--upload-pack=id", "http://example.org/a", "/a/../b"]
)
async def test_an_address_that_is_not_allowed_is_refused(rig: Rig, address: str) -> None:
    with pytest.raises(HostRefused) as refused:
        await rig.fetch(next(numbers), repository=address)
    assert refused.value.reason == "invalid"


async def test_a_missing_branch_names_those_that_there_are(rig: Rig) -> None:
    rig.commit({"a": "1"})
    work = await rig.fetch(next(numbers), "absent")
    assert work.reason is not None
    assert "no branch absent" in work.reason
    assert "main" in work.reason


async def test_a_repository_that_is_gone_or_empty_is_told_as_such(rig: Rig) -> None:
    gone = await rig.fetch(next(numbers), repository=str(rig.repository.parent / "gone"))
    assert not gone.ok
    empty = rig.repository.parent / "empty"
    empty.mkdir(exist_ok=True)
    subprocess.run(["git", "init", "-q", "--bare", str(empty)], check=True)
    work = await rig.fetch(next(numbers), repository=str(empty))
    assert work.reason is not None
    assert "empty" in work.reason


async def test_a_build_that_eats_memory_ends_alone_and_names_its_limit(environment: Rigged) -> None:
    hungry = BuildOverrides(build_command="python3 -c 'x=bytearray(900<<20)'")
    _, work = await environment.build(PROCFILE, overrides=hungry, limits=Limits(memory=128))
    assert (work.ok, work.limit) == (False, "memory")
    assert work.reason is not None
    assert "128 MiB" in work.reason


async def test_a_build_that_forks_without_end_names_its_limit(environment: Rigged) -> None:
    bomb = "python3 -c 'import os,time\nfor i in range(300):\n  if os.fork()==0: time.sleep(60)'"
    files = {"Procfile": "web: sleep 1\n", "bomb.py": bomb.split("'")[1]}
    _, work = await environment.build(
        files, overrides=BuildOverrides(build_command="python3 bomb.py"), limits=Limits(memory=256, tasks=30)
    )
    assert work.limit == "tasks"


async def test_a_build_that_hangs_is_ended_in_time_and_nothing_of_it_is_left(environment: Rigged) -> None:
    _, work = await environment.build(PROCFILE, overrides=BuildOverrides(build_command="sleep 600"), seconds=2)
    assert work.limit == "time"
    assert work.reason is not None
    assert "2 s" in work.reason
    assert environment.rig.processes_of(environment.build_uid) == []


async def test_a_build_that_floods_its_log_names_its_limit(environment: Rigged) -> None:
    _, work = await environment.build(PROCFILE, overrides=BuildOverrides(build_command="yes"), log_bytes=100_000)
    assert work.limit == "log"


async def test_what_a_good_build_leaves_running_ends_with_it(environment: Rigged) -> None:
    command = "(setsid sleep 4343 >/dev/null 2>&1 &)"
    _, work = await environment.build(PROCFILE, overrides=BuildOverrides(build_command=command))
    assert work.ok
    assert environment.rig.processes_of(environment.build_uid) == []


async def test_a_build_can_be_stopped_with_everything_it_started(environment: Rigged) -> None:
    rig = environment.rig
    commit = rig.commit(PROCFILE)
    assert (await rig.fetch(environment.number)).ok
    number = next(numbers)
    await rig.host.call(
        StartBuild(
            number, environment.number, environment.number, number, commit, "",
            BuildOverrides(build_command="(setsid sleep 4444 &); sleep 4444"), {}, Limits(), 60, 100_000,
        )
    )  # fmt: skip

    async def running() -> bool:
        return any("4444" in line for line in rig.processes_of(environment.build_uid))

    await until(running)
    await rig.host.call(StopWork(WorkKind.BUILD, number))
    assert rig.processes_of(environment.build_uid) == []
    assert (await rig.host.call(FindWork(WorkKind.BUILD, number))).state is WorkState.UNKNOWN


async def test_a_result_outlives_a_killed_agent(environment: Rigged) -> None:
    rig = environment.rig
    commit = rig.commit(PROCFILE)
    assert (await rig.fetch(environment.number)).ok
    number = next(numbers)
    order = StartBuild(
        number, environment.number, environment.number, number, commit, "", BuildOverrides(), {}, Limits(), 60, 100_000
    )
    await rig.host.call(order)
    await asyncio.to_thread(rig.kill_agent)
    await rig.host.call(order)
    work = await rig.end_of(WorkKind.BUILD, number)
    assert work.ok
    assert work.plan is not None


async def test_a_build_belongs_to_one_environment_and_what_was_never_made_to_none(
    rig: Rig, environment: Rigged
) -> None:
    build, work = await environment.build(PROCFILE)
    assert work.ok
    other = await rig.environment()
    for verb in (
        StartBuild(
            next(numbers), environment.number, other.number, build, rig.commit(PROCFILE), "", BuildOverrides(), {},
            Limits(), 60, 100_000,
        ),
        DeleteBuild(other.number, build),
    ):  # fmt: skip
        with pytest.raises(HostRefused, match=f"build {build} is not one of environment {other.number}"):
            await rig.host.call(verb)
    await rig.host.call(RemoveEnvironment(other.number, other.place))
    await rig.host.call(DeleteBuild(environment.number, build))
    record = rig.state / f"var/lib/slipway/agent/builds/{environment.number}/{build}"
    assert not record.exists()
    record.touch()  # an agent that was killed before it made the build
    await asyncio.to_thread(rig.kill_agent)
    await rig.host.call(DeleteBuild(environment.number, build))
    assert not record.exists()


async def test_a_release_command_runs_once_however_often_it_is_asked_for(environment: Rigged) -> None:
    build = await environment.release({"release": "echo ran >> $HOME/ran; test $OK = yes"}, {"OK": "yes"})
    number = next(numbers)
    order = StartReleaseCommand(number, environment.number, 1, 1, build, Limits(), 30)
    for _ in range(3):
        await environment.rig.host.call(order)
    work = await environment.rig.host.call(FindWork(WorkKind.RELEASE_COMMAND, number))
    while work.state is WorkState.RUNNING:
        await asyncio.sleep(0.05)
        work = await environment.rig.host.call(FindWork(WorkKind.RELEASE_COMMAND, number))
    await environment.rig.host.call(order)
    assert work.ok
    assert (environment.data / "ran").read_text() == "ran\n"


async def test_a_release_command_that_was_cut_short_may_have_run_and_does_not_run_again(environment: Rigged) -> None:
    build = await environment.release({"release": "echo ran >> $HOME/ran; sleep 100"})
    rig, number = environment.rig, next(numbers)
    order = StartReleaseCommand(number, environment.number, 1, 1, build, Limits(), 30)
    await rig.host.call(order)
    # What a restart of the machine leaves: the mark and the unit's file, and a systemd that never started it.
    unit = f"{rig.prefix}-release-{number}.service"
    rig.box.systemctl("kill", "--signal=KILL", unit)
    rig.box.enter("rm", f"/etc/systemd/user/{unit}")
    rig.box.systemctl("reset-failed")
    await rig.host.call(order)
    work = await rig.host.call(FindWork(WorkKind.RELEASE_COMMAND, number))
    assert work.state is WorkState.ENDED
    assert work.reason is not None
    assert "may have run" in work.reason
    await rig.host.call(StopWork(WorkKind.RELEASE_COMMAND, number))


async def test_a_failing_build_says_why_in_one_sentence(environment: Rigged) -> None:
    _, work = await environment.build(PROCFILE, overrides=BuildOverrides(build_command="exit 9"))
    assert not work.ok
    assert work.reason
    assert "\n" not in work.reason


@pytest.mark.parametrize("name", ["result.json", "plan.json"])
@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 200_000, b'{"ok":' + b"[" * 200_000, b'{"ok":true,"reason":"\xff\xfe"}', b"\0" * 1000, b"x" * 300_000,
     "a link", "a pipe", "a folder"],
    ids=["empty", "deep", "deep inside", "no UTF-8", "NULs", "large", "link", "pipe", "folder"],
)  # fmt: skip
async def test_what_a_build_left_in_its_results_stead_is_a_failed_build_and_nothing_more(
    environment: Rigged, name: str, content: bytes | str
) -> None:
    left = await environment.unread_build()
    file = environment.rig.state / f"srv/slipway/builds/{environment.builds[-1]}/{name}"
    file.unlink()
    match content:
        case bytes():
            file.write_bytes(content)
        case "a link":
            file.symlink_to("/etc/shadow")
        case "a pipe":
            os.mkfifo(file)
        case _:
            file.mkdir()
    work = await environment.rig.host.call(FindWork(WorkKind.BUILD, left))
    assert (work.state, work.ok) == (WorkState.ENDED, False)
    assert work.reason is not None
    assert "cannot be used" in work.reason
    assert "root:" not in work.reason
    await environment.rig.host.call(StopWork(WorkKind.BUILD, left))
