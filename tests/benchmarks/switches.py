"""200 switches under load over TLS, beside the same load over an nginx reload at each switch."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from slipway.host.protocol import Inspect, Switch
from tests.benchmarks.bench_box import APP, ENVIRONMENT, BenchBox
from tests.benchmarks.figures import Section, median, milliseconds
from tests.benchmarks.load import CONNECTIONS, Tally, load
from tests.benchmarks.reloading import Reloading, reloading
from tests.benchmarks.wire import Target

ROUNDS = 4
SWITCHES = 50
ROLLBACKS = 10
PAUSE = 0.05
"""Seconds between two switches."""

SAID = f"""\
{CONNECTIONS} clients ask over TLS on kept connections, without a pause, each second request a POST whose body must
come back; one WebSocket and one event stream are open for the whole of each round. No client tries anything twice,
so that each request that an idle connection's end costs is counted. Between two warm slots of one app the traffic is
switched by the host agent's verb alone, and by whole rollbacks through the API (each waits until it is live); beside
it a fixed upstream is rewritten and nginx reloaded. {ROUNDS} rounds of each in turns, {PAUSE * 1000:.0f} ms between
switches."""


async def measure(bench: BenchBox) -> Section:
    section = Section(
        "Switching under load",
        SAID,
        ["", "switches", "requests", "of them POSTs", "failed", "streams broken", "longest request", "one switch"],
    )
    for _ in range(2):  # so that there are a live slot and a warm one, both with this load's newest code
        bench.commit()
        await bench.deploy()
    slots = [slot for slot in await bench.api("GET", f"{ENVIRONMENT}/slots") if slot["role"] != "stopping"]
    live, warm = (
        next(slot for slot in slots if slot["role"] == "live"),
        max((slot for slot in slots if slot["role"] != "live"), key=lambda slot: slot["release_number"]),
    )
    route = (await bench.host.call(Inspect(environment=live["environment_id"]))).routes[0]
    first = bench.settings["apps"]["first_port"] + (route.place - 1) * 24
    ports = (first + (live["number"] - 1) * 8, first + (warm["number"] - 1) * 8)

    numbers = [live["number"], warm["number"]]

    async def by_the_verb() -> None:
        expected, target = numbers
        await bench.host.call(Switch(route.environment, route.place, expected, target, generation=route.generation))
        numbers.reverse()

    releases = [live["release_number"], warm["release_number"]]

    async def by_a_rollback() -> None:
        body = f'{{"to": {releases[1]}}}'.encode()
        started = await bench.api("POST", f"{ENVIRONMENT}/rollback", body)
        await bench.until_ended(started["id"])
        releases.reverse()

    verb, rollback, reload = Tally(), Tally(), Tally()
    times: dict[str, list[float]] = {"verb": [], "rollback": [], "reload": []}
    with reloading(bench, ports) as rival:
        for _ in range(ROUNDS):
            times["verb"] += await _round(bench.app, verb, by_the_verb, SWITCHES)
            times["reload"] += await _rival_round(rival, reload)
        for _ in range(ROUNDS):  # they raise the generation: the verb's would come too late after them
            times["rollback"] += await _round(bench.app, rollback, by_a_rollback, ROLLBACKS)

    for name, tally, kind in (
        ("Slipway: the agent's verb", verb, "verb"),
        ("Slipway: rollbacks by the API", rollback, "rollback"),
        ("nginx reload at each switch", reload, "reload"),
    ):
        failed = ", ".join(f"{count} × {what}" for what, count in tally.failures.most_common()) or "0"
        streams = str(len(tally.streams)) if tally.streams else "0"
        section.add(
            name, len(times[kind]), f"{tally.requests:,}", f"{tally.posts:,}", failed, streams,
            milliseconds(tally.longest), milliseconds(median(times[kind])),
        )  # fmt: skip
        if tally is not reload:
            section.failures += [f"{APP}: {kind}: {count} × {what}" for what, count in tally.failures.items()]
            section.failures += tally.streams
            if len(tally.releases) < 2:
                section.failures.append(f"{kind}: only one release answered, so nothing was switched")
    section.said += (
        f"\n\nTarget: 0 failed requests and both streams alive: "
        f"{'**missed**' if section.failures else 'met'}. The WebSocket had "
        f"{verb.websocket_messages + rollback.websocket_messages:,} messages answered,\nthe event stream "
        f"{verb.events + rollback.events:,} events without a gap; each answered from the slot on which it began."
    )
    return section


async def _round(target: Target, tally: Tally, switch: Callable[[], Awaitable[None]], count: int) -> list[float]:
    times = []
    one = Tally()
    async with load(target, one):
        for _ in range(count):
            began = time.monotonic()
            await switch()
            times.append(time.monotonic() - began)
            await asyncio.sleep(PAUSE)
    _add(tally, one)
    return times


async def _rival_round(rival: Reloading, tally: Tally) -> list[float]:
    return await _round(rival.target, tally, rival.switch, SWITCHES)


def _add(total: Tally, one: Tally) -> None:
    total.requests += one.requests
    total.posts += one.posts
    total.failures += one.failures
    total.releases += one.releases
    total.streams += one.streams
    total.websocket_messages += one.websocket_messages
    total.events += one.events
    total.longest = max(total.longest, one.longest)
