"""What a thousand environments on one box cost while nothing happens, at a start, and in each deployment.

The environments are put into the database alone: the reconciler then makes all of them on the machine, which is what
it does for a machine that was lost.
"""

import asyncio
import json
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from slipway.apps.models import EnvironmentSettings
from slipway.host.protocol import Inspect, MeasureDisk
from slipway.plan import Plan
from slipway.settings import Apps, Http, Installation, Mode, Settings
from slipway.setup import files
from slipway.vault import Vault
from tests.benchmarks.bench_box import BenchBox, bench_box
from tests.benchmarks.figures import Section, median, percentile
from tests.integration.deployments.helpers import query

FEW, MANY = 10, 1000
DEPLOYMENTS = 15
STARTS = 5
IDLE_SECONDS = 120
LOOKS = 5
SUMS = 10
START, OVERHEAD, IDLE = 5.0, 1.10, 1.0
MAKING_SECONDS = 3600
FIRST = 1_000_000
"""Ids of what is put into the database: beyond those that it gives itself."""
APPS = Apps(first_port=8000, places=MANY, first_uid=200_000, uids=2 * MANY + 100)

SAID = f"""\
A box with {FEW} environments, then with {MANY:,}: `examples/hello`, and for the rest static sites with a worker that
sleeps, so that each has a unit that runs, a site of nginx's, a route, two users, folders, a release. They are put into
the database; the machine's side is made by the reconciler, as for a machine that was lost. A look compares all of it:
{LOOKS} were asked for. The start is counted from the daemon's process to the end of its first look; {STARTS} of each.
The overhead is that of {DEPLOYMENTS} redeployments of `examples/hello`, request to live, less the fetch. Idle is the
processor time of daemon, host agent, PostgreSQL and nginx over {IDLE_SECONDS} s in which nobody asks anything, in
percent of one core.

What a deployment's overhead still grows by is systemd's: for each new unit it looks at every file in the folder of
units anew, and at each start and stop at all neighbours in the slice."""


async def measure(_: BenchBox) -> Section:
    """On a box of its own: an ordinary one has no places for so many."""
    section = Section("A thousand environments", SAID, ["", f"{FEW} environments", f"{MANY:,}", "target"])
    with bench_box(prepare) as bench:
        _insert(bench, range(FEW - 1))
        await _until_made(bench, FEW)
        few = await _figures(bench)
        began = time.monotonic()
        _insert(bench, range(FEW - 1, MANY - 1))
        await _until_made(bench, MANY)
        making = time.monotonic() - began
        many = await _figures(bench)

    def row(name: str, key: str, show: Any, verdict: str = "") -> None:
        section.add(name, show(few[key]), show(many[key]), verdict)

    row("**daemon's start to a whole look**, median", "start", _seconds,
        section.verdict(many["start"], START, " s"))  # fmt: skip
    row("of it the look: database and host agent", "look at start", _seconds)
    row("a look later, median", "look", _seconds)
    row("processor time of one look, all parts", "look cpu", _seconds)
    row("**a deployment's overhead**, median", "overhead", _seconds,
        section.verdict(many["overhead"] / few["overhead"], OVERHEAD, " ×"))  # fmt: skip
    row("the same, p95", "overhead p95", _seconds)
    row("**idle**, percent of a core", "idle", lambda value: f"{value:.2f} %",
        section.verdict(many["idle"], IDLE, " %"))  # fmt: skip
    row("an hourly look adds", "look cpu", lambda value: f"{value / 36:.3f} %")
    row("adding up everybody's folders, once a day, adds", "sum cpu", lambda value: f"{value:.3f} %")
    section.add(f"making the last {MANY - FEW} on the machine", "", f"{making:.0f} s", "")
    return section


def _seconds(value: float) -> str:
    return f"{value:.3f} s"


def prepare(state: Path, port: int) -> None:
    """Ranges for a thousand, before anything is there."""
    path = state / "etc/slipway/slipway.toml"
    path.parent.mkdir(parents=True)
    settings = Settings(Installation(files.fresh_id(), Mode.LOCAL), Http(port=port, tls=True), apps=APPS)
    files.write_settings(path, settings)


# ---- making them ---------------------------------------------------------------------------------------------------


def _insert(bench: BenchBox, numbers: range) -> None:
    """Apps that are live by the database, of whose machine's side there is only what a build leaves."""
    state = bench.box.state
    vault = Vault((state / "etc/slipway/key").read_bytes())
    settings = json.dumps(msgspec.to_builtins(EnvironmentSettings(memory=64, tasks=16)))
    team = query(bench.box, "SELECT min(id) FROM teams")
    statements = ["BEGIN;"]
    for number in numbers:
        one = FIRST + number
        folder = f"/srv/slipway/builds/{one}"
        public = state / f"srv/slipway/builds/{one}/public"
        public.mkdir(parents=True)
        (public / "index.html").write_text("hello")
        owner = state / f"var/lib/slipway/agent/builds/{one}/{one}"
        owner.parent.mkdir(mode=0o700, parents=True)
        owner.touch()
        processes = {"worker": "exec sleep infinity"}
        plan = Plan("procfile", None, (), (), (), processes, None, f"{folder}/public", {}, folder)
        sealed = vault.seal(b"{}", f"variables of release v1 of environment {one}").hex()
        text = json.dumps(msgspec.to_builtins(plan)).replace("'", "''")
        commands = json.dumps(processes)
        statements.append(f"""
INSERT INTO apps (id, team_id, name, repository, branch) OVERRIDING SYSTEM VALUE
    VALUES ({one}, {team}, 'many-{number}', '/nowhere', 'main');
INSERT INTO environments (id, app_id, name, place, generation, last_release) OVERRIDING SYSTEM VALUE
    VALUES ({one}, {one}, 'production', {number + 2}, 1, 1);
INSERT INTO builds (id, environment_id, commit, state, plan, ended_at) OVERRIDING SYSTEM VALUE
    VALUES ({one}, {one}, repeat('a', 40), 'ready', '{text}', now());
INSERT INTO releases (id, environment_id, number, build_id, variables, settings, processes, reason)
    OVERRIDING SYSTEM VALUE
    VALUES ({one}, {one}, 1, {one}, '\\x{sealed}', '{settings}', '{commands}', 'deploy');
INSERT INTO slots (environment_id, number, release_id, generation, role) VALUES ({one}, 1, {one}, 1, 'live');
INSERT INTO deployments (id, environment_id, kind, state, generation, build_id, release_id, slot, trigger, started_at,
                         ended_at) OVERRIDING SYSTEM VALUE
    VALUES ({one}, {one}, 'deploy', 'live', 1, {one}, {one}, 1, 'operator', now(), now());""")
    script = state / "run/many.sql"
    script.write_text("\n".join([*statements, "COMMIT;"]))
    psql = ("psql", "-h", "/run/slipway/postgresql", "-U", "slipway", "-d", "slipway", "-qv", "ON_ERROR_STOP=1")
    shutil.copy(script, state / "srv/slipway/many.sql")
    done = bench.box.enter(*psql, "-f", "/srv/slipway/many.sql")
    (state / "srv/slipway/many.sql").unlink()
    script.unlink()
    if done.returncode != 0:
        raise RuntimeError(done.stderr)


async def _until_made(bench: BenchBox, count: int) -> None:
    asking = asyncio.create_task(_look(bench))
    deadline = time.monotonic() + MAKING_SECONDS
    while time.monotonic() < deadline:
        box = await bench.host.call(Inspect())
        live = [route for route in box.routes if route.slot]
        if len(live) == len(box.sites) == count:
            await asking
            if not (await _look(bench))["findings"]:
                return
        await asyncio.sleep(1)
    raise RuntimeError(f"{len(live)} of {count} environments are on the machine")


async def _look(bench: BenchBox) -> Any:
    """However long it takes to put right what it finds."""
    while True:
        with suppress(TimeoutError):
            return await bench.api("GET", "/api/system/drift")


# ---- measuring -----------------------------------------------------------------------------------------------------


async def _figures(bench: BenchBox) -> dict[str, float]:
    overheads = []
    for _ in range(DEPLOYMENTS):
        bench.commit()
        overheads.append(_overhead(await bench.deploy()))
    await asyncio.sleep(30)  # standbys and hints of the last deployment are over
    starts = [_start(bench) for _ in range(STARTS)]
    before, began = _used(bench), time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    idle = (_used(bench) - before) / (time.monotonic() - began) * 100
    before = _used(bench)
    looks = [(await bench.api("GET", "/api/system/drift"))["seconds"] for _ in range(LOOKS)]
    look = (_used(bench) - before) / LOOKS
    environments = int(query(bench.box, "SELECT count(*) FROM environments"))
    before = _used(bench) + _managers(bench)
    for number in range(SUMS):
        await bench.host.call(MeasureDisk(environment=FIRST + number % (FEW - 1)))
    each = (_used(bench) + _managers(bench) - before) / SUMS
    return {
        "start": median([whole for whole, _ in starts]),
        "look at start": median([look for _, look in starts]),
        "look": median(looks),
        "look cpu": look,
        "overhead": median(overheads),
        "overhead p95": percentile(overheads, 95),
        "sum cpu": each * environments / 86400 * 100,
        "idle": idle,
    }


def _overhead(found: Any) -> float:
    seconds = {phase["phase"]: phase["seconds"] for phase in found["phases"]}
    return float(sum(seconds.values()) - seconds["fetching"])


def _start(bench: BenchBox) -> tuple[float, float]:
    """Seconds from the daemon's process to the end of its first look, and those of the look."""
    unit = f"slipway-{bench.settings['installation']['id']}-daemon.service"
    systemctl = ("systemctl", "--user")
    restarted = bench.box.enter(*systemctl, "restart", unit)
    if restarted.returncode != 0:
        raise RuntimeError(restarted.stderr)
    pid = bench.box.enter(*systemctl, "show", "--property=MainPID", "--value", unit).stdout.strip()
    began = int(
        bench.box.enter(*systemctl, "show", "--property=ExecMainStartTimestampMonotonic", "--value", unit).stdout
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        said = bench.box.enter("journalctl", "--output=json", "--quiet", f"_PID={pid}").stdout
        for line in said.splitlines():
            entry = json.loads(line)
            if "reconcile.looked" in entry["MESSAGE"]:
                ended = int(entry["__MONOTONIC_TIMESTAMP"])
                return (ended - began) / 1e6, float(json.loads(entry["MESSAGE"])["seconds"])
        time.sleep(0.5)
    raise RuntimeError("the daemon's first look did not end")


def _used(bench: BenchBox) -> float:
    """Seconds of processor time that all parts used so far, with the children that ended."""
    return sum(_seconds_of(pid) for pids in bench.processes().values() for pid in pids)


def _managers(bench: BenchBox) -> float:
    """The same of systemd and all that ran under it and has ended."""
    host = bench.processes()["host"][0]
    return _seconds_of(int(_stat(host)[1]))


def _seconds_of(pid: int) -> float:
    return sum(map(int, _stat(pid)[11:15])) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """From the third field on (proc(5))."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
