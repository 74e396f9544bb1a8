"""Bring the repository's mirror up to date and find the commit."""

from slipway.deployments.phases.room import ensure_room, unless_full
from slipway.deployments.tools import OUTPUT_SECONDS, Attempt, Failed, Tools, record, say
from slipway.host.fetcher.reasons import NO_BRANCH
from slipway.host.protocol import StartFetch, WorkKind


async def fetch(tools: Tools, attempt: Attempt) -> None:
    deployment, app = attempt.deployment, attempt.app
    branch = deployment.branch or app.branch
    await ensure_room(tools, attempt)
    await tools.host.call(
        StartFetch(id=deployment.id, app=app.id, repository=app.repository, branch=branch, commit=deployment.commit)
    )
    work = await unless_full(tools, tools.watch.work(WorkKind.FETCH, deployment.id))
    tools.logs.hold_back(WorkKind.FETCH, deployment.id, OUTPUT_SECONDS)
    if not work.ok or work.fetched is None:
        reason = work.reason or "The repository could not be fetched; what Git said stands in the log."
        raise Failed(reason if work.limit else f"{reason} {_what_to_do(attempt, reason)}")
    found = work.fetched
    await record(
        tools, attempt, commit=found.commit, commit_subject=found.subject[:500], commit_author=found.author[:200]
    )
    say(tools, attempt, f"Commit {found.commit[:10]} of {branch}: {found.subject}")


def _what_to_do(attempt: Attempt, reason: str) -> str:
    app, environment = attempt.app, attempt.environment
    if not reason.startswith(NO_BRANCH):
        command = f"slipway apps change {app.name} --repo URL"
        return f"The address is {app.repository}; to change it: the app's settings, or `{command}`."
    if environment.branch is not None:
        command = f"slipway settings {app.name} -e {environment.name} --branch NAME"
    else:
        command = f"slipway apps change {app.name} --branch NAME"
    return f"To deploy another one: the settings, or `{command}`."
