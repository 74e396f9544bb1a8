"""Starting instances, naming them to nginx, counting what they still answer: for deployments and for settling."""

from slipway.apps.models import App, Environment
from slipway.builds import store as builds
from slipway.deployments.tools import Tools
from slipway.host.protocol import Limits, PutRelease, PutSite, StartInstances, StopInstances
from slipway.processes.service import wanted
from slipway.releases.models import Release
from slipway.routing import sockets
from slipway.routing.models import Slot
from slipway.settings import RANKS


async def put_release(tools: Tools, app: App, environment: Environment, generation: int, release: Release) -> None:
    """Write the release's launcher file."""
    async with tools.db.connection() as connection:
        build = await builds.get_build(connection, release.build_id)
        variables = await tools.releases.variables(connection, app, environment, release)
    assert build.plan is not None
    await tools.host.call(
        PutRelease(
            environment=environment.id,
            release=release.number,
            generation=generation,
            build=release.build_id,
            plan=build.plan,
            processes=release.processes,
            variables=variables,
        )
    )


def beside_web(release: Release) -> list[str]:
    """Its processes that run and get no requests: workers, clocks, whatever they are called."""
    return [name for name in release.processes if name not in ("web", "release")]


async def start_instances(
    tools: Tools,
    environment: Environment,
    generation: int,
    release: Release,
    slot: Slot,
    process: str,
    *,
    only_ready: bool = False,
) -> None:
    """Start as many instances of a process as the environment wants; those that run are left alone.

    `generation` is that of whoever asks: the host agent refuses it once a newer one was there. With `only_ready`
    nothing starts, and doing so later has less to wait for.
    """
    count = wanted(environment, process)
    if count == 0:
        return
    settings = release.settings
    await tools.host.call(
        StartInstances(
            environment=environment.id,
            place=environment.place,
            generation=generation,
            release=release.number,
            release_generation=slot.generation,
            slot=slot.number if process == "web" else 0,
            build=release.build_id,
            process=process,
            count=count,
            limits=Limits(memory=settings.memory, cpu=settings.cpu, tasks=settings.tasks),
            stop_seconds=settings.stop_seconds,
            only_ready=only_ready,
        )
    )


async def stop_slot(tools: Tools, generation: int, slot: Slot) -> None:
    """Stop what runs of a slot's release; answers when it is gone.

    `generation` is that of whoever asks, as in `start_instances`.
    """
    await tools.host.call(
        StopInstances(
            environment=slot.environment_id,
            generation=generation,
            release=slot.release_number,
            release_generation=slot.generation,
        )
    )


async def put_site(tools: Tools, app: App, environment: Environment, *, static: bool) -> None:
    """Make nginx serve the environment's hostname; nothing is reloaded where it does already."""
    await tools.host.call(
        PutSite(
            environment=environment.id,
            place=environment.place,
            hostnames=(tools.routing.hostname(app, environment),),
            static=static,
            web_count=max(1, wanted(environment, "web")),
        )
    )


def open_connections(tools: Tools, place: int, slot: int, ranks: range = range(RANKS)) -> int:
    """How many connections a slot's instances (of these ranks) have: nginx closes idle ones after a second."""
    return sockets.established({tools.settings.port(place, slot, rank) for rank in ranks})
