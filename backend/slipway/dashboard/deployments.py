"""Deployments: the list, one with its live log; asking for one, cancelling, trying again; releases and rolling back."""

import asyncio
from typing import Annotated

from litestar import get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from slipway.apps.models import App, Environment
from slipway.dashboard.environments import ENVIRONMENT
from slipway.dashboard.frame import Frames
from slipway.dashboard.steps import steps_of
from slipway.deployments.models import Deployment, Kind, State
from slipway.deployments.service import Deployments
from slipway.errors import Conflict, Invalid, NotFound
from slipway.events.models import Actor
from slipway.logs.models import LogLine
from slipway.logs.service import Logs
from slipway.releases.service import Releases
from slipway.routing.models import SlotRole
from slipway.routing.service import Routing
from slipway.web.callers import Caller
from slipway.web.path import Id
from slipway.web.policies import Policy
from slipway.web.views import AnyRequest, Notice, draw, go, read_form

DEPLOYMENT = ENVIRONMENT + "/deployments/{deployment_id:int}"
PER_PAGE = 25
ENDING_LINES = 12
"""Of the log of a deployment that failed, shown beside the reason."""
SHORT_LOG = 24
"""Lines of a log that is seen as a whole below: its end is not shown twice."""
SUBJECTS_FROM = 40
"""Newest deployments in which the releases' commit subjects are looked for."""
SIGNS = {State.LIVE: "●", State.FAILED: "✕", State.CANCELLED: "○", State.SUPERSEDED: "○"}
FAVICONS = {State.LIVE: "good", State.FAILED: "bad", State.CANCELLED: "calm", State.SUPERSEDED: "calm"}


@get(ENVIRONMENT + "/deployments", policy=Policy.VIEWER)
async def show_deployments(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    frames: Frames,
    deployments: Deployments,
    before: Annotated[int | None, QueryParameter(ge=1, le=2**53)] = None,
) -> Template:
    frame, found = await asyncio.gather(
        frames.of(caller, app, environment),
        deployments.list_deployments(app, environment, before, PER_PAGE + 1),
    )
    return draw(
        request,
        "deployments",
        **frame.context(
            "/deployments",
            deployments=found[:PER_PAGE],
            next=found[PER_PAGE - 1].id if len(found) > PER_PAGE else None,
            before=before,
            here=request.url.path + (f"?before={before}" if before else ""),
        ),
    )


@post(ENVIRONMENT + "/deployments", policy=Policy.MEMBER, status_code=303)
async def deploy(
    request: AnyRequest, app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> Redirect:
    """Deploy the branch's tip, or the commit that the form names, and go and watch it."""
    commit = (await read_form(request)).text("commit").strip().lower() or None
    return _watch(app, environment, await deployments.deploy(actor, app, environment, commit))


@get(DEPLOYMENT, policy=Policy.VIEWER)
async def show_deployment(
    request: AnyRequest,
    deployment_id: Id,
    caller: Caller,
    app: App,
    environment: Environment,
    frames: Frames,
    deployments: Deployments,
    releases: Releases,
    logs: Logs,
) -> Template:
    deployment = await _get(deployments, app, environment, deployment_id)
    frame, phases, kept, ending, served = await asyncio.gather(
        frames.of(caller, app, environment),
        deployments.list_phases(deployment),
        releases.list_releases(environment),
        _ending(logs, deployment),
        deployments.find_serving(deployment),
    )
    undone = deployment.undone_by is not None
    return draw(
        request,
        "deployment",
        **frame.context(
            "/deployments",
            deployment=deployment,
            steps=steps_of(deployment, phases),
            kept={release.number for release in kept},
            ending=ending,
            served=served,
            mark="✕" if undone else SIGNS.get(deployment.state, "…"),
            favicon="bad" if undone else FAVICONS.get(deployment.state, "busy"),
        ),
    )


async def _get(deployments: Deployments, app: App, environment: Environment, deployment_id: int) -> Deployment:
    deployment = await deployments.get_deployment(app, deployment_id)
    if deployment.environment_id != environment.id:
        raise NotFound(f"{app.name} ({environment.name}) has no deployment {deployment_id}.")
    return deployment


async def _ending(logs: Logs, deployment: Deployment) -> list[LogLine]:
    """The last lines, where they tell why it failed."""
    if deployment.state is not State.FAILED:
        return []
    await logs.complete(deployment.id)
    ending = await logs.last_deployment_lines(deployment.id, ENDING_LINES)
    return ending if ending and ending[-1].number > SHORT_LOG else []


@post(DEPLOYMENT + "/cancel", policy=Policy.MEMBER, status_code=303)
async def cancel(
    deployment_id: Id, app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> Redirect:
    """Stop it. One that ended meanwhile is shown as it is."""
    deployment = await _get(deployments, app, environment, deployment_id)
    try:
        await deployments.cancel(actor, app, deployment)
    except Conflict:
        return _watch(app, environment, deployment)
    return _watch(app, environment, deployment, Notice.CANCELLING)


@post(DEPLOYMENT + "/retry", policy=Policy.MEMBER, status_code=303)
async def retry(
    deployment_id: Id, app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> Redirect:
    """Ask for the same again: the same commit, the same release, or the variables and settings as they are now."""
    old = await _get(deployments, app, environment, deployment_id)
    if old.kind is Kind.ROLLBACK:
        return _watch(app, environment, await deployments.rollback(actor, app, environment, old.target_release))
    if old.kind is Kind.DEPLOY:
        return _watch(app, environment, await deployments.deploy(actor, app, environment, old.commit))
    return await _release_anew(app, environment, actor, deployments, old.kind)


@get(ENVIRONMENT + "/releases", policy=Policy.VIEWER)
async def show_releases(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    frames: Frames,
    deployments: Deployments,
    releases: Releases,
    routing: Routing,
) -> Template:
    frame, kept, slots, newest = await asyncio.gather(
        frames.of(caller, app, environment),
        releases.list_releases(environment),
        routing.list_slots(environment),
        deployments.list_deployments(app, environment, None, SUBJECTS_FROM),
    )
    by_commit = {one.commit: one.commit_subject for one in newest if one.commit_subject}
    return draw(
        request,
        "releases",
        **frame.context(
            "/releases",
            releases=kept,
            warm={slot.release_number for slot in slots if slot.role in (SlotRole.STANDBY, SlotRole.DRAINING)},
            subjects={one.number: by_commit[one.commit] for one in kept if one.commit in by_commit},
        ),
    )


@post(ENVIRONMENT + "/releases", policy=Policy.MEMBER, status_code=303)
async def release_anew(
    request: AnyRequest, app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> Redirect:
    """Make a release of what is live with the present variables and settings, and go and watch it."""
    kind = Kind.SETTINGS if (await read_form(request)).text("because") == "settings" else Kind.VARIABLES
    return await _release_anew(app, environment, actor, deployments, kind)


async def _release_anew(
    app: App, environment: Environment, actor: Actor, deployments: Deployments, kind: Kind
) -> Redirect:
    made = await deployments.release_anew(actor, app, environment, kind)
    if made is None:
        raise Conflict("Nothing is live here, so there is no build to make a release of. Deploy first.")
    return _watch(app, environment, made)


@post(ENVIRONMENT + "/rollback", policy=Policy.MEMBER, status_code=303)
async def rollback(
    request: AnyRequest, app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> Redirect:
    """Roll back to the release that the form names, and go and watch it."""
    to = (await read_form(request)).text("to")
    if not to.isascii() or not to.isdigit() or len(to) > 9:
        raise Invalid("The form does not say which release to roll back to.", field="to")
    return _watch(app, environment, await deployments.rollback(actor, app, environment, int(to)))


def _watch(app: App, environment: Environment, deployment: Deployment, notice: Notice | None = None) -> Redirect:
    return go(f"/apps/{app.name}/{environment.name}/deployments/{deployment.id}", notice)


HANDLERS = [show_deployments, deploy, show_deployment, cancel, retry, show_releases, release_anew, rollback]
