"""Settling in the background: nothing that was asked for is forgotten, nobody waits for somebody else."""

import asyncio
from collections import Counter

import pytest

from slipway.deployments import settler as module
from slipway.deployments.settler import Settler
from slipway.errors import HostRefused, NotFound, SlipwayError, Unavailable


class Environments:
    """What is settled: how often, with what outcome, and how many at once."""

    def __init__(self) -> None:
        self.tries: Counter[int] = Counter()
        self.outcomes: dict[int, list[SlipwayError | None]] = {}
        self.gates: dict[int, asyncio.Event] = {}
        self.settler = Settler(self.settle)

    async def settle(self, environment_id: int) -> None:
        self.tries[environment_id] += 1
        if gate := self.gates.get(environment_id):
            await gate.wait()
        problem = self.outcomes[environment_id].pop(0) if self.outcomes.get(environment_id) else None
        if problem:
            raise problem


@pytest.fixture
def environments(monkeypatch: pytest.MonkeyPatch) -> Environments:
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)
    return Environments()


async def test_a_slow_one_holds_up_no_other(environments: Environments) -> None:
    for slow in range(100):
        environments.gates[slow] = asyncio.Event()
        environments.settler.ask(slow)
    await environments.settler.settle(1000, within=30)
    assert environments.tries[1000] == 1
    await environments.settler.stop()


async def test_who_asks_during_a_try_waits_for_the_next_one(environments: Environments) -> None:
    environments.gates[1] = asyncio.Event()
    environments.settler.ask(1)
    await asyncio.sleep(0)
    second = asyncio.create_task(environments.settler.settle(1))
    await asyncio.sleep(0)
    environments.gates[1].set()
    await asyncio.wait_for(second, 30)
    assert environments.tries[1] == 2


async def test_no_ask_is_lost_at_whatever_moment_it_comes(environments: Environments) -> None:
    for turns in range(20):
        before = environments.tries[1]
        environments.settler.ask(1)
        for _ in range(turns):
            await asyncio.sleep(0)
        await asyncio.wait_for(environments.settler.settle(1), 30)
        assert environments.tries[1] > before


async def test_a_refusal_is_told_to_who_waits_and_tried_again(environments: Environments) -> None:
    environments.outcomes[1] = [HostRefused("no", reason="failed"), None]
    with pytest.raises(HostRefused):
        await environments.settler.settle(1)
    await asyncio.wait_for(environments.settler.settle(1), 30)
    assert environments.tries[1] >= 2


async def test_what_is_away_is_waited_for(environments: Environments) -> None:
    environments.outcomes[1] = [Unavailable("away"), Unavailable("away"), None]
    await asyncio.wait_for(environments.settler.settle(1), 30)
    assert environments.tries[1] == 3


async def test_one_that_was_deleted_is_done(environments: Environments) -> None:
    environments.outcomes[1] = [NotFound("gone")]
    await asyncio.wait_for(environments.settler.settle(1), 30)
    assert environments.tries[1] == 1


async def test_who_has_waited_long_enough_goes_on_and_so_does_it(environments: Environments) -> None:
    environments.gates[1] = asyncio.Event()
    await environments.settler.settle(1, within=0.01)
    environments.gates[1].set()
    await asyncio.wait_for(environments.settler.settle(1), 30)
    assert environments.tries[1] == 2
