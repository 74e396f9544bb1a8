"""What an instance is given, how it ends, and that its end is told truly."""

import asyncio
import itertools
from typing import Any

import pytest

from slipway.errors import HostRefused
from slipway.host.protocol import Exits, Limits, StopInstances

from .conftest import Rig, Rigged, until

SHOW = (
    'python3 -c \'import json,os; e=dict(os.environ); e["cwd"]=os.getcwd(); p=os.environ["HOME"]+"/report"; '
    'json.dump(e,open(p+".new","w")); os.rename(p+".new",p)\'; sleep 1000'
)


async def test_a_process_gets_its_variables_port_and_folder_exactly(environment: Rigged) -> None:
    nasty = "a'b\"c $(touch /tmp/canary) `id` %n\\ \n\tü{{ x }}"
    build = await environment.release({"web": SHOW}, {"NASTY": nasty, "PATH": "/opt/x:/usr/bin:/bin"})
    await environment.start("web", slot=2)
    seen = await environment.report()
    assert seen["NASTY"] == nasty
    assert seen["PATH"] == "/opt/x:/usr/bin:/bin"
    assert seen["cwd"] == f"/srv/slipway/builds/{build}/app"
    assert seen["HOME"] == seen["SLIPWAY_DATA"] == f"/srv/slipway/data/{environment.number}"
    assert seen["PORT"].isdigit()


async def test_what_crashes_starts_again_with_growing_pauses_and_each_end_is_told(environment: Rigged) -> None:
    await environment.release({"worker": "echo dying; exit 7"})
    await environment.start("worker")

    async def three() -> Any:
        records = await environment.rig.records(environment.number)
        return records if len(records) >= 4 else None

    records = await until(three)
    assert all(record.exit_code == 7 and not record.asked and record.signal is None for record in records)
    pauses = [after.at - before.at for before, after in itertools.pairwise(records)]
    assert pauses[0] < 1.0 < pauses[1] < pauses[2]


async def test_an_end_with_status_zero_that_nobody_asked_for_is_told_as_unasked(environment: Rigged) -> None:
    await environment.release({"worker": "sleep 0.2"})
    await environment.start("worker")
    record = await environment.record()
    assert (record.exit_code, record.asked) == (0, False)


async def test_records_are_given_until_they_are_acknowledged(environment: Rigged) -> None:
    await environment.release({"worker": "sleep 0.1; exit 1"})
    await environment.start("worker")
    record = await environment.record()
    answer = await environment.rig.host.call(Exits(acknowledge=(record.id, "../../etc/passwd", "nonsense")))
    assert record.id not in [each.id for each in answer.records]


async def test_one_that_eats_memory_is_ended_and_told_as_out_of_memory(environment: Rigged) -> None:
    await environment.release({"worker": "exec python3 -c 'x=bytearray(400<<20); print(len(x))'"})
    await environment.start("worker", limits=Limits(memory=64, tasks=64))
    record = await environment.record()
    assert record.out_of_memory
    assert not record.asked


async def test_one_whose_child_eats_memory_is_told_as_out_of_memory_too(environment: Rigged) -> None:
    await environment.release({"worker": "python3 -c 'x=bytearray(400<<20)'; sleep 0.1; exit 3"})
    await environment.start("worker", limits=Limits(memory=64, tasks=64))
    assert (await environment.record()).out_of_memory


async def test_a_fork_bomb_meets_its_task_limit_and_leaves_the_machine_alone(environment: Rigged) -> None:
    bomb = "import os,time\nfor i in range(500):\n    if os.fork() == 0: time.sleep(100); os._exit(0)\n"
    await environment.build({"Procfile": "web: python3 web.py\n", "bomb.py": bomb})
    await environment.release({"worker": "python3 bomb.py"})
    await environment.start("worker", limits=Limits(memory=256, tasks=20))
    record = await environment.record()
    assert record.tasks_refused
    assert not record.out_of_memory


async def test_a_process_that_forks_twice_ends_with_its_unit(environment: Rigged) -> None:
    await environment.release({"worker": "(setsid sh -c 'sleep 4242 &' &); touch $HOME/report.json; sleep 1000"})
    await environment.start("worker")

    async def escaped() -> bool:
        return any("sleep 4242" in args for args in environment.rig.processes_of(environment.run_uid))

    await until(escaped)
    await environment.rig.host.call(StopInstances(environment.number, 1))
    assert environment.rig.processes_of(environment.run_uid) == []


async def test_a_process_that_ignores_sigterm_is_killed_and_the_end_was_asked_for(environment: Rigged) -> None:
    await environment.release({"worker": "trap '' TERM; touch $HOME/ready; while :; do sleep 1; done"})
    await environment.start("worker", stop_seconds=1)

    async def ready() -> bool:
        return (environment.data / "ready").exists()

    await until(ready)
    await environment.rig.host.call(StopInstances(environment.number, 1))
    record = await environment.record()
    assert record.asked
    assert environment.rig.processes_of(environment.run_uid) == []


async def test_a_stop_that_the_machine_itself_makes_is_no_crash(environment: Rigged) -> None:
    await environment.release({"worker": "exec sleep 1000"})
    await environment.start("worker")
    unit = f"{environment.rig.prefix}-e{environment.number}-v1-g1-s0-worker.0.service"
    environment.rig.box.systemctl("stop", unit)
    record = await environment.record()
    assert (record.asked, record.signal) == (True, "SIGTERM")


async def test_an_order_under_a_running_name_with_other_limits_is_heeded_after_a_stop(environment: Rigged) -> None:
    await environment.release({"worker": "exec sleep 1000"})
    for memory in (100, 200):
        await environment.start("worker", limits=Limits(memory=memory, tasks=64))
        (running,) = await environment.instances()
        unit = f"{environment.rig.prefix}-e{environment.number}-v1-g1-s0-worker.0.service"
        shown = environment.rig.box.systemctl("show", "--property=MemoryMax", "--value", unit)
        assert int(shown.stdout) == memory << 20
        assert running.sub == "running"
        await environment.rig.host.call(StopInstances(environment.number, 1))


async def test_what_is_made_ready_runs_neither_now_nor_at_boot_and_then_starts_with_what_it_was_made_for(
    environment: Rigged,
) -> None:
    rig = environment.rig
    await environment.release({"worker": SHOW})
    await environment.start("worker", only_ready=True)
    (one,) = await environment.instances()
    assert (one.active, one.restarts, one.main_pid) == ("inactive", 0, 0)
    (file,) = rig.box.unit_files.glob(f"*-e{environment.number}-*")
    wanted = rig.box.unit_files / f"{rig.prefix}-apps.target.wants" / file.name
    assert not wanted.is_symlink()
    before = file.stat()
    await environment.start("worker")
    await environment.report()
    assert wanted.is_symlink()
    assert file.stat().st_mtime_ns == before.st_mtime_ns, "it is written once"
    await rig.host.call(StopInstances(environment.number, environment.generation))
    await environment.start("worker", only_ready=True)
    await environment.start("worker", limits=Limits(memory=99, tasks=64))
    shown = rig.box.systemctl("show", "--property=MemoryMax,ActiveState", file.name).stdout.split()
    assert sorted(shown) == ["ActiveState=active", f"MemoryMax={99 * 2**20}"]
    await environment.start("worker", only_ready=True)
    (one,) = await environment.instances()
    assert one.active == "active", "what runs is left alone"


async def test_starting_again_changes_nothing_and_scaling_down_keeps_the_lower_ranks(environment: Rigged) -> None:
    await environment.release({"worker": "exec sleep 1000", "web": "exec sleep 1000"})
    await environment.start("worker", count=3)
    before = await environment.instances()
    await environment.start("worker", count=3)
    assert await environment.instances() == before
    await environment.start("web", slot=1)
    await environment.rig.host.call(StopInstances(environment.number, 1, process="worker", from_rank=1))
    left = [(each.instance.process, each.instance.rank) for each in await environment.instances()]
    assert left == [("web", 0), ("worker", 0)] or left == [("worker", 0), ("web", 0)]
    await environment.rig.host.call(StopInstances(environment.number, 1, but_process="web"))
    assert [each.instance.process for each in await environment.instances()] == ["web"]
    for generation, left in ((1, ["web"]), (2, [])):
        await environment.rig.host.call(StopInstances(environment.number, 1, but_release_generation=generation))
        assert [each.instance.process for each in await environment.instances()] == left


async def test_instances_outlive_a_killed_agent_and_a_late_generation_is_refused_after_it(environment: Rigged) -> None:
    await environment.release({"worker": "exec sleep 1000"})
    environment.generation = 5
    await environment.start("worker")
    before = await environment.instances()
    environment.rig.kill_agent()
    assert await environment.instances() == before
    environment.generation = 4
    with pytest.raises(HostRefused, match="too late") as refused:
        await environment.start("worker")
    assert refused.value.reason == "stale"


async def test_the_agent_killed_at_any_moment_of_a_start_leaves_nothing_that_asking_again_does_not_mend(
    rig: Rig, environment: Rigged
) -> None:
    await environment.release({"worker": "exec sleep 1000"})
    for delay in (0.001, 0.004, 0.01, 0.03, 0.06):
        asking = asyncio.ensure_future(environment.start("worker", count=2))
        await asyncio.sleep(delay)
        await asyncio.to_thread(rig.kill_agent)
        await asyncio.gather(asking, return_exceptions=True)
        await environment.start("worker", count=2)
        assert [each.sub for each in await environment.instances()] == ["running"] * 2
        await environment.rig.host.call(StopInstances(environment.number, 1))
        assert await environment.instances() == []
