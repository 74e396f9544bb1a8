"""Figures in a real PostgreSQL, over hours that a test's clock takes minutes of."""

import asyncio
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway import clock
from slipway.apps.models import Environment, EnvironmentSettings
from slipway.db import Database
from slipway.errors import Unavailable
from slipway.events.hub import Hub
from slipway.host.protocol import EnvironmentUsage, Usage
from slipway.metrics import store
from slipway.metrics.service import TOPIC, Metrics
from slipway.metrics.tasks import sample_for_ever
from slipway.settings import Http, Installation, Mode, Settings

BEGIN = datetime(2026, 3, 1, 11, 58, tzinfo=UTC)


class Time:
    def __init__(self) -> None:
        self.now = BEGIN

    def pass_(self, **span: float) -> None:
        self.now += timedelta(**span)


class Agent:
    """Answers with counters of environments that use half a core and write 1,000 bytes a second."""

    def __init__(self, time: Time) -> None:
        self._time = time
        self.environments: tuple[int, ...] = (1,)
        self.counts_kills = True
        self.away = False

    async def call(self, verb: object) -> Usage:
        if self.away:
            raise Unavailable("the host agent does not answer")
        at = (self._time.now - BEGIN).total_seconds() + 1000
        return Usage(
            at,
            tuple(
                EnvironmentUsage(
                    one, "g", round(at * 500_000), 50_000_000, 4, 0, round(at * 1000), 0 if self.counts_kills else None
                )
                for one in self.environments
            ),
        )


class Rig:
    def __init__(self, db: Database, folder: Path, time: Time) -> None:
        self.db, self.time = db, time
        self.settings = Settings(Installation("test", Mode.LOCAL), Http(8080), prefix=str(folder))
        self.log = self.settings.paths.log / "access.log"
        self.log.parent.mkdir(parents=True)
        self.log.touch()
        self.agent = Agent(time)
        self.hub = Hub()
        self.metrics = self._start()

    def restarted(self) -> Metrics:
        """As the daemon has it after a start."""
        self.metrics.close()
        self.metrics = self._start()
        return self.metrics

    def _start(self) -> Metrics:
        return Metrics(self.db, self.hub, self.agent, self.settings)  # type: ignore[arg-type]

    def request(self, environment: int = 1, status: int = 200, count: int = 1) -> None:
        entry = {"at": self.time.now.timestamp(), "environment": str(environment), "status": status, "began": "0.010"}
        with self.log.open("a") as file:
            file.write((json.dumps(entry) + "\n") * count)

    async def sample(self, minutes: float = 0) -> None:
        """Now, or each fifteen seconds for so long."""
        await self.metrics.sample()
        for _ in range(round(minutes * 4)):
            self.time.pass_(seconds=15)
            await self.metrics.sample()

    async def figures(self, environment: int = 1, **asked: Any) -> Any:
        return await self.metrics.of_environment(make_environment(environment), **asked)

    async def requests(self, environment: int = 1, **asked: Any) -> int:
        found = await self.figures(environment, **asked)
        return sum(point.answers.requests for point in found.points)

    async def value(self, statement: str) -> Any:
        async with self.db.connection() as connection:
            return await connection.fetchval(statement)


def make_environment(number: int) -> Environment:
    return Environment(number, 1, "production", None, number, EnvironmentSettings(), {}, 1, BEGIN, None)


@pytest.fixture
def rig(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    time = Time()
    monkeypatch.setattr(clock, "now", lambda: time.now)
    rig = Rig(database, tmp_path, time)
    yield rig
    rig.metrics.close()


async def test_what_is_used_is_stored_and_shown_by_the_step(rig: Rig) -> None:
    await rig.sample(minutes=5)
    found = await rig.figures(step=60)
    whole = found.points[1:-1]
    assert len(whole) >= 3
    assert all(point.cpu == pytest.approx(0.5) for point in whole)
    assert all(point.written_bytes == pytest.approx(1000) for point in whole)
    assert {point.memory for point in whole} == {50_000_000}
    assert found.points[0].at == BEGIN


async def test_each_request_is_counted_once_however_it_is_looked_at(rig: Rig) -> None:
    await rig.sample()
    made = 0
    for minute in range(40):
        rig.request(status=503 if minute % 5 == 0 else 200, count=minute)
        made += minute
        await rig.sample(minutes=1)
    for step in (15, 60, 120, 900, 3600):
        assert await rig.requests(step=step) == made, step
    found = await rig.figures(step=3600)
    assert sum(point.answers.server_errors for point in found.points) == sum(range(0, 40, 5))
    assert found.points[-1].answers.seconds == pytest.approx(0.01)


async def test_a_restart_counts_what_came_meanwhile_and_nothing_twice(rig: Rig) -> None:
    await rig.sample(minutes=3)
    rig.request(count=5)
    await rig.sample(minutes=1)
    rig.request(count=7)
    rig.time.pass_(seconds=40)
    rig.restarted()
    await rig.sample(minutes=3)
    assert await rig.requests(step=15) == 12
    assert await rig.requests(step=60) == 12


async def test_after_hours_away_requests_are_where_they_were_made(rig: Rig) -> None:
    await rig.sample(minutes=3)
    rig.time.pass_(hours=1)
    rig.request(count=9)
    made_at = rig.time.now
    rig.time.pass_(hours=3)
    rig.restarted()
    await rig.sample(minutes=2)
    assert await rig.requests(step=60) == 0, "the last hour had none"
    assert await rig.requests(start=made_at - timedelta(minutes=2), end=made_at + timedelta(minutes=2), step=60) == 9


async def test_a_crash_between_any_two_steps_neither_loses_nor_doubles(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the functions that write fails once, after and before it did its work."""
    await rig.sample()
    made = 0
    for name in ("insert_environments", "insert_box", "put_position", "roll_up", "put_rolled_up"):
        for after in (False, True):
            real = getattr(store, name)

            async def failing(*arguments: Any, real: Any = real, after: bool = after) -> None:
                if after:
                    await real(*arguments)
                raise Unavailable("gone in the middle")

            rig.request(count=3)
            made += 3
            rig.time.pass_(seconds=75)
            with monkeypatch.context() as broken:
                broken.setattr(store, name, failing)
                with pytest.raises(Unavailable):
                    await rig.metrics.sample()
            if after:
                rig.restarted()
            await rig.sample(minutes=2)
    for step in (15, 60, 900):
        assert await rig.requests(step=step) == made, step
    cpu = await rig.value("SELECT max(cpu_seconds / nullif(measured_seconds, 0)) FROM environment_figures")
    assert cpu == pytest.approx(0.5)


async def test_rolling_up_the_same_time_again_changes_nothing(rig: Rig) -> None:
    await rig.sample()
    rig.request(count=11)
    await rig.sample(minutes=20)
    query = "SELECT json_agg(f ORDER BY environment_id, step, at)::text FROM environment_figures f WHERE step > 0"
    before = await rig.value(query)
    assert before
    async with rig.db.transaction() as connection:
        await connection.execute("UPDATE figures_rolled_up SET until = until - interval '15 minutes'")
    rig.restarted()
    rig.agent.away = True
    await rig.metrics.sample()
    assert await rig.value(query) == before


async def test_while_the_database_is_away_samples_are_left_out_and_requests_are_counted_when_it_is_back(
    rig: Rig, tmp_path: Path
) -> None:
    await rig.sample(minutes=1)
    rig.metrics._db = away = Database(f"postgresql://slipway@/slipway?host={tmp_path}")
    for _ in range(8):
        rig.time.pass_(seconds=15)
        rig.request(count=2)
        with pytest.raises(Unavailable):
            await rig.metrics.sample()
    await away.close()
    rig.metrics._db = rig.db
    await rig.sample(minutes=2)
    assert await rig.requests(step=15) == 16
    assert await rig.requests(step=60) == 16
    looks = await rig.value("SELECT sum(samples) FROM environment_figures WHERE step = 0")
    assert looks == 5 + 9, "what was not looked at is not made up"


async def test_sampling_goes_on_after_whatever_went_wrong(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    done = asyncio.Event()
    ways: list[BaseException | None] = [Unavailable("away"), ValueError("a fault"), None]

    async def sample() -> None:
        error = ways.pop(0)
        if error is not None:
            raise error
        done.set()

    monkeypatch.setattr(rig.metrics, "sample", sample)
    sampling = asyncio.create_task(sample_for_ever(rig.metrics, 0.01))
    async with asyncio.timeout(30):
        await done.wait()
    sampling.cancel()
    await asyncio.gather(sampling, return_exceptions=True)


async def test_without_the_host_agent_requests_are_counted_all_the_same(rig: Rig) -> None:
    await rig.sample()
    rig.agent.away = True
    rig.time.pass_(minutes=1)
    rig.request(count=4)
    await rig.sample(minutes=2)
    found = await rig.figures(step=60)
    assert await rig.requests() == 4
    assert found.points[-1].cpu is None
    assert found.points[-1].memory is None


async def test_kills_are_counted_by_the_kernel_or_by_their_crashes_and_never_by_both(rig: Rig) -> None:
    for kernel_counts, counted in ((True, 0), (False, 1)):
        rig.agent.counts_kills = kernel_counts
        rig.metrics.killed(1)
        rig.time.pass_(seconds=15)
        await rig.metrics.sample()
        kills = await rig.value("SELECT sum(oom_kills) FROM environment_figures WHERE step = 0")
        assert kills == counted


async def test_old_figures_go_with_whole_partitions_and_coarser_ones_stay(rig: Rig) -> None:
    await rig.sample()
    rig.request(count=2)
    await rig.sample(minutes=20)
    rig.time.pass_(hours=8)
    rig.restarted()
    await rig.sample(minutes=2)
    await rig.metrics.drop_old()
    left = await rig.value("SELECT min(at) FROM environment_figures WHERE step = 0")
    assert left > BEGIN + timedelta(hours=7)
    assert await rig.requests(start=BEGIN - timedelta(minutes=1), step=60) == 2
    assert await rig.value("SELECT count(*) FROM pg_class WHERE relname LIKE 'environment_figures_sampled_%'") < 30


async def test_a_clock_that_was_a_day_ahead_does_not_stop_the_figures(rig: Rig) -> None:
    await rig.sample(minutes=3)
    rig.time.pass_(days=1)
    await rig.sample(minutes=3)
    rig.time.pass_(days=-1)
    await rig.sample(minutes=3)
    rig.request(count=6)
    await rig.sample(minutes=3)
    assert await rig.requests(step=60) == 6
    assert await rig.requests(step=15) == 6


async def test_those_who_watch_hear_of_a_new_sample(rig: Rig) -> None:
    async with rig.hub.subscribe(TOPIC) as changes:
        await rig.metrics.sample()
        assert await anext(changes) == {TOPIC}


async def test_a_thousand_environments_are_stored_by_one_statement(rig: Rig) -> None:
    rig.agent.environments = tuple(range(1, 1001))
    await rig.sample(minutes=1.5)
    assert await rig.value("SELECT count(DISTINCT environment_id) FROM environment_figures WHERE step = 60") == 1000


async def test_the_box_has_figures_of_its_own_and_all_requests(rig: Rig) -> None:
    await rig.sample()
    rig.request(1, count=2)
    rig.request(2, count=3)
    with rig.log.open("a") as file:
        file.write(json.dumps({"at": rig.time.now.timestamp(), "environment": "", "status": 200}) + "\n")
    await rig.sample(minutes=1)
    found = await rig.metrics.of_box(step=60)
    assert sum(point.answers.requests for point in found.points) == 6
    assert found.cores >= 1
    assert found.memory > 0
    newest = found.points[-1]
    assert newest.memory
    assert newest.load is not None
