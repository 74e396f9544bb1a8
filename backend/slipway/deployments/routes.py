"""/api/…/deployments: asking for them, watching them, taking them back."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.params import JSONBody
from litestar.types import ASGIApp

from slipway.apps.models import App, Environment
from slipway.apps.routes import APP, ENVIRONMENT
from slipway.apps.service import Apps
from slipway.deployments.models import Deployment, Kind, Phase, State
from slipway.deployments.service import Deployments
from slipway.errors import NotFound
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.web.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from slipway.web.path import Id
from slipway.web.policies import Policy
from slipway.web.streams import IDLE, Streams, encode_event, within_idle

DEPLOYMENT = APP + "/deployments/{deployment_id:int}"


class NewDeployment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    commit: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    """All forty hex digits; the branch's tip unless given."""


class Rollback(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    to: Annotated[int, msgspec.Meta(ge=1, le=2**31 - 1)] | None = None
    """A release's number; the one before the live one unless given."""


class DeploymentView(msgspec.Struct, frozen=True):
    """`reason` says in plain words why it ended as it did. `release` is what it made or rolled back to: `v3`."""

    id: int
    environment: str
    kind: Kind
    state: State
    ended: bool
    branch: str | None
    commit: str | None
    commit_subject: str | None
    commit_author: str | None
    release: str | None
    reason: str | None
    undone_by: int | None
    """The deployment that Slipway made by itself, since what this one made live did not last."""
    trigger: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None


class PhaseView(msgspec.Struct, frozen=True):
    phase: str
    started_at: datetime
    ended_at: datetime | None
    seconds: float | None
    reason: str | None


class DeploymentDetail(msgspec.Struct, frozen=True):
    deployment: DeploymentView
    phases: list[PhaseView]
    serving: str | None
    """The release that was live when it ended, or is now where it has not."""


def deployment_view(deployment: Deployment, environment: str) -> DeploymentView:
    number = deployment.release_number or deployment.target_release
    return DeploymentView(
        id=deployment.id,
        environment=environment,
        kind=deployment.kind,
        state=deployment.state,
        ended=deployment.state.ended,
        branch=deployment.branch,
        commit=deployment.commit,
        commit_subject=deployment.commit_subject,
        commit_author=deployment.commit_author,
        release=f"v{number}" if number else None,
        reason=deployment.reason,
        undone_by=deployment.undone_by,
        trigger=deployment.trigger,
        created_at=deployment.created_at,
        started_at=deployment.started_at,
        ended_at=deployment.ended_at,
    )


def phase_view(phase: Phase) -> PhaseView:
    return PhaseView(phase.phase, phase.started_at, phase.ended_at, phase.seconds, phase.reason)


@post(ENVIRONMENT + "/deployments", policy=Policy.MEMBER, idempotent=True)
async def deploy(
    data: JSONBody[NewDeployment], app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> DeploymentView:
    """Ask for a deployment of the branch's tip, or of a commit. A newer request replaces one that still waits."""
    return deployment_view(await deployments.deploy(actor, app, environment, data.commit), environment.name)


@post(ENVIRONMENT + "/rollback", policy=Policy.MEMBER, idempotent=True)
async def rollback(
    data: JSONBody[Rollback], app: App, environment: Environment, actor: Actor, deployments: Deployments
) -> DeploymentView:
    """Make an older release live again. What a release command did is not undone."""
    return deployment_view(await deployments.rollback(actor, app, environment, data.to), environment.name)


@get(ENVIRONMENT + "/deployments", policy=Policy.VIEWER)
async def list_of_environment(
    app: App,
    environment: Environment,
    deployments: Deployments,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeploymentView]:
    """An environment's deployments, newest first."""
    found = await deployments.list_deployments(app, environment, decode_cursor(cursor, int), limit + 1)
    return page([deployment_view(one, environment.name) for one in found], limit, lambda one: one.id)


@get(APP + "/deployments", policy=Policy.VIEWER)
async def list_of_app(
    app: App, apps: Apps, deployments: Deployments, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None
) -> Page[DeploymentView]:
    """The deployments of all of the app's environments, newest first."""
    found = await deployments.list_deployments(app, None, decode_cursor(cursor, int), limit + 1)
    names = await _environment_names(apps, app)
    return page([deployment_view(one, names.get(one.environment_id, "")) for one in found], limit, lambda one: one.id)


@get(DEPLOYMENT, policy=Policy.VIEWER)
async def show_deployment(deployment_id: Id, app: App, apps: Apps, deployments: Deployments) -> DeploymentDetail:
    """One deployment with its phases."""
    deployment = await deployments.get_deployment(app, deployment_id)
    names = await _environment_names(apps, app)
    phases = await deployments.list_phases(deployment)
    serving = await deployments.find_serving(deployment)
    return DeploymentDetail(
        deployment_view(deployment, names.get(deployment.environment_id, "")),
        [phase_view(phase) for phase in phases],
        f"v{serving.release_number}" if serving else None,
    )


@post(DEPLOYMENT + "/cancel", policy=Policy.MEMBER, status_code=200)
async def cancel(deployment_id: Id, app: App, actor: Actor, apps: Apps, deployments: Deployments) -> DeploymentView:
    """Stop a deployment; what is live goes on."""
    deployment = await deployments.cancel(actor, app, await deployments.get_deployment(app, deployment_id))
    names = await _environment_names(apps, app)
    return deployment_view(deployment, names.get(deployment.environment_id, ""))


@get(DEPLOYMENT + "/stream", policy=Policy.VIEWER, stream=True)
async def stream_deployment(
    request: Request[Any, Any, Any],
    deployment_id: Id,
    app: App,
    deployments: Deployments,
    hub: Hub,
    streams: Streams,
) -> ASGIApp:
    """Server-Sent Events: `changed` with the state, first the present one; ends with the deployment."""
    await deployments.get_deployment(app, deployment_id)
    return streams.open(request, _states(app, deployment_id, deployments, hub))


async def _states(app: App, deployment_id: int, deployments: Deployments, hub: Hub) -> AsyncIterator[bytes]:
    told: State | None = None
    async with hub.subscribe(f"deployment:{deployment_id}") as changes:
        while True:
            try:
                deployment = await deployments.get_deployment(app, deployment_id)
            except NotFound:
                return
            # Asked at every wake-up and told only when new, so that a lost wake-up costs 15 s at most.
            if deployment.state is not told:
                told = deployment.state
                yield encode_event("changed", {"state": told.value, "reason": deployment.reason})
            if told.ended:
                return
            if await within_idle(anext(changes)) is None:
                yield IDLE


async def _environment_names(apps: Apps, app: App) -> dict[int, str]:
    return {environment.id: environment.name for environment in await apps.list_environments(app)}


HANDLERS = [
    deploy,
    rollback,
    list_of_environment,
    list_of_app,
    show_deployment,
    cancel,
    stream_deployment,
]
