"""Turn the commit into files, in a unit of its own."""

from slipway.builds import store as builds
from slipway.builds.models import BuildState
from slipway.deployments import store
from slipway.deployments.phases.room import ensure_room, unless_full
from slipway.deployments.tools import OUTPUT_SECONDS, Attempt, Failed, Tools, say
from slipway.host.protocol import Limits, StartBuild, WorkKind
from slipway.plan import BuildOverrides, Plan


async def build(tools: Tools, attempt: Attempt) -> None:
    if tools.builds.locked():
        say(tools, attempt, "Other builds are running; this one begins when one of them has ended.")
    async with tools.builds:
        if attempt.deployment.build_id is None:  # others may have taken the room meanwhile
            await ensure_room(tools, attempt)
        build_id = await _take_build(tools, attempt)
        async with tools.db.connection() as connection:
            known = await builds.get_build(connection, build_id)
        if known.state is BuildState.READY:
            return  # it was recorded before a restart
        plan = await _run(tools, attempt, build_id)
        async with tools.db.transaction() as connection:
            await builds.mark_ready(connection, build_id, plan)
        tools.disks.ask(attempt.environment.id)


async def _take_build(tools: Tools, attempt: Attempt) -> int:
    deployment = attempt.deployment
    if deployment.build_id is not None:
        return deployment.build_id
    assert deployment.commit is not None, "found by the fetch"
    async with tools.db.transaction() as connection:
        made = await builds.insert_build(connection, attempt.environment.id, deployment.commit)
        attempt.deployment = await store.record(connection, deployment.id, build_id=made.id)
    return made.id


async def _run(tools: Tools, attempt: Attempt, build_id: int) -> Plan:
    deployment, environment, limits = attempt.deployment, attempt.environment, tools.settings.limits
    settings = environment.settings
    assert deployment.commit is not None
    async with tools.db.connection() as connection:
        variables = await tools.apps.all_values(connection, environment.id)
    await tools.host.call(
        StartBuild(
            id=deployment.id,
            app=attempt.app.id,
            environment=environment.id,
            build=build_id,
            commit=deployment.commit,
            base_directory=attempt.app.base_directory,
            overrides=BuildOverrides(
                install_command=settings.install_command,
                build_command=settings.build_command,
                start_command=settings.start_command,
                release_command=settings.release_command,
                public_folder=settings.public_folder,
            ),
            variables=variables,
            limits=Limits(memory=limits.build_memory, tasks=limits.build_tasks),
            seconds=limits.build_seconds,
            log_bytes=limits.build_log_bytes,
        )
    )
    work = await unless_full(tools, tools.watch.work(WorkKind.BUILD, deployment.id))
    tools.logs.hold_back(WorkKind.BUILD, deployment.id, OUTPUT_SECONDS)
    if not work.ok or work.plan is None:
        raise Failed(work.reason or "The build failed; its last lines say why.")
    return work.plan
