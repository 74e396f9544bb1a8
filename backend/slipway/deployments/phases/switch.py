"""Flip the traffic, make sure that it arrives, hand over the workers."""

import asyncio
from datetime import timedelta

from slipway import clock
from slipway.builds import store as builds
from slipway.deployments import store
from slipway.deployments.instances import beside_web, put_site, start_instances
from slipway.deployments.models import CANCELLED
from slipway.deployments.tools import Attempt, Failed, Stopped, Tools, say
from slipway.errors import HostRefused
from slipway.host.protocol import Inspect, RemoveSite, StopInstances, Switch
from slipway.processes.service import wanted
from slipway.releases import store as releases
from slipway.releases.models import Release
from slipway.routing import probe
from slipway.routing import store as routing
from slipway.routing.models import Slot, SlotRole

CONFIRM_SECONDS = 3.0


async def switch(tools: Tools, attempt: Attempt) -> None:
    deployment = attempt.deployment
    assert deployment.release_id is not None
    async with tools.db.connection() as connection:
        release = await releases.find_release(connection, deployment.release_id)
        assert release is not None
        build = await builds.get_build(connection, release.build_id)
    slots = await tools.routing.list_slots(attempt.environment)
    new = next(slot for slot in slots if slot.number == deployment.slot)
    others = [slot for slot in slots if slot.number != new.number and slot.role is not SlotRole.INCOMING]
    old = _replaced(new, others)
    static = "web" not in release.processes and build.plan is not None and build.plan.public_folder is not None
    routed = static or "web" in release.processes

    if routed:
        await put_site(tools, attempt.app, attempt.environment, static=static)
    await _pass_the_point_of_no_return(tools, attempt)
    if new.role is not SlotRole.LIVE:
        await _flip(tools, attempt, new.number if routed else 0, old.number if old else 0)
        await _record_live(tools, attempt, release, new, others)
    if routed:
        await _confirm(tools, attempt, release, new, old, static=static)
    if not routed:
        await tools.host.call(RemoveSite(environment=attempt.environment.id))
    await _hand_over(tools, attempt, release, new)


def _replaced(new: Slot, others: list[Slot]) -> Slot | None:
    """The slot that had the traffic before; after a crash behind the flip, the one that began to drain last."""
    if new.role is not SlotRole.LIVE:
        return next((slot for slot in others if slot.role is SlotRole.LIVE), None)
    draining = [slot for slot in others if slot.role is SlotRole.DRAINING]
    return max(draining, key=lambda slot: slot.since, default=None)


async def _pass_the_point_of_no_return(tools: Tools, attempt: Attempt) -> None:
    async with tools.db.connection() as connection:
        attempt.deployment = await store.get(connection, attempt.id)
    if attempt.deployment.cancel_asked_at and not attempt.certain:
        raise Stopped(CANCELLED)
    attempt.certain = True


async def _flip(tools: Tools, attempt: Attempt, target: int, expected: int) -> None:
    environment = attempt.environment

    async def ask(expected: int) -> None:
        await tools.host.call(
            Switch(environment.id, environment.place, expected, target, generation=attempt.generation)
        )

    try:
        await ask(expected)
    except HostRefused:
        # Somebody removed the marker by hand, or the live release had no route: then there is nothing to take away.
        box = await tools.host.call(Inspect(environment=environment.id))
        actual = next((route.slot for route in box.routes if route.environment == environment.id), 0)
        if actual not in (0, expected):
            raise
        await ask(actual)


async def _record_live(tools: Tools, attempt: Attempt, release: Release, new: Slot, others: list[Slot]) -> None:
    """The old one drains, what drained goes on draining, a standby goes, the new one is live: in one transaction."""
    until = clock.now() + timedelta(seconds=release.settings.drain_seconds)
    async with tools.db.transaction() as connection:
        for slot in others:
            if release.settings.stop_then_start or slot.role is SlotRole.STANDBY:
                await routing.set_role(connection, slot.environment_id, slot.number, SlotRole.STOPPING, None)
            elif slot.role is SlotRole.LIVE:
                await routing.set_role(connection, slot.environment_id, slot.number, SlotRole.DRAINING, until)
        await routing.set_role(connection, new.environment_id, new.number, SlotRole.LIVE, None)
    tools.hub.publish(f"environment:{attempt.environment.id}", "apps")
    say(tools, attempt, f"{release.name} gets the traffic.")


async def _confirm(
    tools: Tools, attempt: Attempt, release: Release, new: Slot, old: Slot | None, *, static: bool
) -> None:
    """Ask through nginx, on the app's own hostname, that the new slot really answers; else go back."""
    environment = attempt.environment
    ports = [tools.settings.port(environment.place, new.number, rank) for rank in range(wanted(environment, "web"))]
    host = tools.routing.url(attempt.app, environment).partition("://")[2]
    path = release.settings.health_path or "/"
    proto = "https" if tools.settings.http.tls else "http"
    deadline = asyncio.get_running_loop().time() + CONFIRM_SECONDS
    while True:
        try:
            answer = await probe.ask(tools.settings.paths.nginx_socket, path, host, forwarded_proto=proto)
            upstream = answer.headers.get("x-slipway-upstream", "")
            if any(upstream.endswith(f":{port}") for port in ports) or (static and answer.status < 500):
                return
            problem = f"nginx answered with status {answer.status} from {upstream or 'nowhere'}"
        except probe.NoAnswer as error:
            problem = f"nginx: {error}"
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.05)
    await _flip(tools, attempt, old.number if old else 0, new.number)
    async with tools.db.transaction() as connection:
        await routing.set_role(connection, environment.id, new.number, SlotRole.STOPPING, None)
        if old is not None:
            await routing.set_role(connection, environment.id, old.number, SlotRole.LIVE, None)
    raise Failed(f"The switch was made, but {release.name} is not reached through nginx: {problem}. It was undone.")


async def _hand_over(tools: Tools, attempt: Attempt, release: Release, new: Slot) -> None:
    """Processes other than `web`: the old ones have ended before the new ones start."""
    await tools.host.call(
        StopInstances(
            environment=attempt.environment.id,
            generation=attempt.generation,
            but_process="web",
            but_release_generation=new.generation,
        )
    )
    workers = beside_web(release)
    for name in workers:
        await start_instances(tools, attempt.environment, attempt.generation, release, new, name)
    if workers:
        say(tools, attempt, f"Started {', '.join(workers)}.")
