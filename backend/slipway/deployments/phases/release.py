"""Freeze the release, write what its launcher reads, and run the release command once."""

from slipway.deployments import store
from slipway.deployments.instances import put_release
from slipway.deployments.models import Kind
from slipway.deployments.tools import Attempt, Failed, Tools, record, say
from slipway.host.protocol import Limits, StartReleaseCommand, WorkKind, WorkState
from slipway.releases import store as releases
from slipway.releases.models import Release

OUTPUT_SECONDS = 0.5
"""How long its last lines may take through the journal; it has no line that says that it was the last."""
COMMAND_SECONDS = 1800


async def release(tools: Tools, attempt: Attempt) -> None:
    made = await _take_release(tools, attempt)
    await put_release(tools, attempt.app, attempt.environment, attempt.generation, made)
    # The same build with other variables has had its migrations: the command belongs to new commits.
    if attempt.deployment.kind is Kind.DEPLOY and "release" in made.processes:
        await _run_command(tools, attempt, made)


async def _take_release(tools: Tools, attempt: Attempt) -> Release:
    deployment = attempt.deployment
    async with tools.db.transaction() as connection:
        if deployment.release_id is not None:
            made = await releases.find_release(connection, deployment.release_id)
            assert made is not None
            return made
        if deployment.build_id is None:  # new variables or settings for what is live
            live = await releases.find_live(connection, attempt.environment.id)
            if live is None:
                raise Failed("Nothing is live in this environment any more, so that there is nothing to release anew.")
            await store.record(connection, deployment.id, build_id=live.build_id, commit=live.commit)
            build_id = live.build_id
        else:
            build_id = deployment.build_id
        made = await tools.releases.make(connection, attempt.environment, build_id, deployment.kind.value)
        attempt.deployment = await store.record(connection, deployment.id, release_id=made.id)
    say(tools, attempt, f"Release {made.name}")
    return made


async def _run_command(tools: Tools, attempt: Attempt, made: Release) -> None:
    deployment, settings = attempt.deployment, made.settings
    if deployment.release_command == "done":
        return
    if deployment.release_command is None:
        await record(tools, attempt, release_command="started")
        say(tools, attempt, f"$ {made.processes['release']}")
        await tools.host.call(
            StartReleaseCommand(
                id=deployment.id,
                environment=attempt.environment.id,
                release=made.number,
                generation=attempt.generation,
                build=made.build_id,
                limits=Limits(memory=settings.memory, cpu=settings.cpu, tasks=settings.tasks),
                seconds=COMMAND_SECONDS,
            )
        )
    work = await tools.watch.work(WorkKind.RELEASE_COMMAND, deployment.id)
    if work.state is WorkState.UNKNOWN:
        raise Failed(
            "Slipway was interrupted while the release command was about to run: it may have run, wholly or in part. "
            "It is not run again by itself. Look at what it changes, then deploy again."
        )
    tools.logs.hold_back(WorkKind.RELEASE_COMMAND, deployment.id, OUTPUT_SECONDS)
    if not work.ok:
        raise Failed(work.reason or "The release command failed; its last lines say why.")
    await record(tools, attempt, release_command="done")
