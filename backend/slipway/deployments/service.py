"""Asking for deployments, and looking at them. What they do is in `phases`, who runs them in `runner`."""

from collections.abc import Callable, Sequence
from contextlib import suppress

from slipway.apps.models import App, Environment
from slipway.db import Connection, Database
from slipway.deployments import store
from slipway.deployments.models import CANCELLED, Deployment, Kind, Phase, State
from slipway.errors import Conflict, NotFound, Unavailable
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.logs.service import Logs
from slipway.releases import store as releases
from slipway.repository import check_commit


class Deployments:
    def __init__(self, db: Database, events: Events, hub: Hub, logs: Logs) -> None:
        self._db = db
        self._events = events
        self._hub = hub
        self._logs = logs
        self.on_request: Callable[[], None] = lambda: None
        """Called when there is something new to begin."""
        self.on_cancel: Callable[[int], None] = lambda deployment_id: None
        """Called when an active deployment is to stop."""

    async def deploy(self, actor: Actor, app: App, environment: Environment, commit: str | None = None) -> Deployment:
        """Build the tip of the environment's branch (or a commit of it) and make it live."""
        branch = environment.branch or app.branch
        commit = check_commit(commit) if commit else None
        return await self._request(actor, app, environment, Kind.DEPLOY, branch=branch, commit=commit)

    async def rollback(
        self,
        actor: Actor,
        app: App,
        environment: Environment,
        to: int | None = None,
        *,
        undoes: Deployment | None = None,
    ) -> Deployment:
        """Make an older release live again; without a number, the one before the live one.

        It goes before everything that is queued, and stops a deployment that is on its way. One that `undoes` a bad
        deployment does nothing where that one's release is no longer live when it begins.
        """
        async with self._db.connection() as connection:
            target = await _target(connection, environment, to)
        deployment = await self._request(actor, app, environment, Kind.ROLLBACK, target_release=target, undoes=undoes)
        async with self._db.connection() as connection:
            others = [one for one in await store.list_open_of(connection, environment.id) if one.id != deployment.id]
        for other in others:
            if other.kind is not Kind.ROLLBACK:
                with suppress(Conflict):  # it ended meanwhile
                    await self.cancel(actor, app, other)
        return deployment

    async def release_anew(self, actor: Actor, app: App, environment: Environment, kind: Kind) -> Deployment | None:
        """Make a release of what is live with the present variables and settings; None where nothing is live."""
        async with self._db.connection() as connection:
            live = await releases.find_live(connection, environment.id)
        return await self._request(actor, app, environment, kind) if live else None

    async def cancel(self, actor: Actor, app: App, deployment: Deployment) -> Deployment:
        """Stop a deployment; what is live goes on. Raises Conflict where it has ended already."""
        async with self._db.transaction() as connection:
            current = await store.get(connection, deployment.id)
            if current.state.ended:
                raise Conflict(f"Deployment {current.id} has ended already ({current.state.value}).")
            await self._events.record(
                connection, "deployment.cancelled", actor, team_id=app.team_id, app_id=app.id,
                environment_id=current.environment_id, deployment=current.id,
            )  # fmt: skip
            queued = current.state is State.QUEUED
            ended = await store.move(connection, current, State.CANCELLED, CANCELLED) if queued else None
            if ended is None:
                ended = await store.ask_cancel(connection, current.id)
        if ended.state.ended:
            await self._logs.finish_deployment(ended.id)
        else:
            self.on_cancel(ended.id)
        self._publish(ended)
        return ended

    async def get_deployment(self, app: App, deployment_id: int) -> Deployment:
        """Raises NotFound where it is not one of this app's."""
        async with self._db.connection() as connection:
            found = await store.list_of_app(connection, app.id, None, deployment_id + 1, 1)
        if not found or found[0].id != deployment_id:
            raise NotFound(f"{app.name} has no deployment {deployment_id}.")
        return found[0]

    async def list_deployments(
        self, app: App, environment: Environment | None = None, before: int | None = None, limit: int = 20
    ) -> list[Deployment]:
        """Newest first."""
        async with self._db.connection() as connection:
            return await store.list_of_app(connection, app.id, environment.id if environment else None, before, limit)

    async def list_phases(self, deployment: Deployment) -> list[Phase]:
        """In the order they began."""
        async with self._db.connection() as connection:
            return await store.list_phases(connection, deployment.id)

    async def latest(self, environment_ids: Sequence[int]) -> dict[int, Deployment]:
        """The newest deployment of each environment that has one."""
        async with self._db.connection() as connection:
            return await store.latest(connection, environment_ids)

    async def find_live(self, release_id: int) -> Deployment | None:
        """The newest deployment that put this release live."""
        async with self._db.connection() as connection:
            return await store.find_live(connection, release_id)

    async def find_serving(self, deployment: Deployment) -> Deployment | None:
        """The one that had put live what served when this one ended, or serves now where it has not."""
        async with self._db.connection() as connection:
            return await store.find_serving(connection, deployment.environment_id, deployment.ended_at)

    async def _request(
        self,
        actor: Actor,
        app: App,
        environment: Environment,
        kind: Kind,
        *,
        branch: str | None = None,
        commit: str | None = None,
        target_release: int | None = None,
        undoes: Deployment | None = None,
    ) -> Deployment:
        if app.deleting_at or environment.deleting_at:
            raise Conflict(f"{app.name} ({environment.name}) is being deleted.")
        try:
            async with self._db.transaction() as connection:
                deployment = await store.insert(
                    connection,
                    environment.id,
                    kind,
                    branch=branch,
                    commit=commit,
                    target_release=target_release,
                    requested_by=actor.account_id,
                    trigger=actor.kind,
                )
                if undoes is not None:
                    await store.mark_undone(connection, undoes.id, deployment.id)
                superseded = await store.supersede_queued(connection, deployment)
                await self._events.record(
                    connection, "deployment.requested", actor, team_id=app.team_id, app_id=app.id,
                    environment_id=environment.id, deployment=deployment.id, **_told(kind, target_release),
                )  # fmt: skip
        except Unavailable:
            self.on_request()  # what was lost may only be the answer, and the request be there
            raise
        self._logs.begin_deployment(deployment.id)
        self._logs.write(deployment.id, State.QUEUED.value, _first_line(deployment, app, environment))
        for old in superseded:
            await self._logs.finish_deployment(old)
            self._hub.publish(f"deployment:{old}")
        self._publish(deployment)
        self.on_request()
        return deployment

    def _publish(self, deployment: Deployment) -> None:
        self._hub.publish(f"deployment:{deployment.id}", f"environment:{deployment.environment_id}", "apps")


async def _target(connection: Connection, environment: Environment, to: int | None) -> int:
    live = await releases.find_live(connection, environment.id)
    kept = [one.number for one in await releases.list_kept(connection, environment.id)]
    if live is None:
        raise Conflict("Nothing is live in this environment yet: there is nothing to roll back.")
    if to is None:
        to = await store.find_number_before(connection, environment.id, live.number)
        if to is None:
            raise Conflict(f"There is no good release before {live.name} to roll back to. Name one, or deploy a fix.")
    if to == live.number:
        raise Conflict(f"v{to} is live already.")
    if to not in kept:
        names = ", ".join(f"v{number}" for number in kept if number != live.number) or "none"
        raise NotFound(f"There is no release v{to} to roll back to; kept are: {names}.")
    return to


def _told(kind: Kind, target_release: int | None) -> dict[str, object]:
    return {"deployment_kind": kind.value} | ({"release": target_release} if target_release else {})


def _first_line(deployment: Deployment, app: App, environment: Environment) -> str:
    what = {
        Kind.DEPLOY: f"Deploying {app.name} ({environment.name}) from {deployment.branch}",
        Kind.ROLLBACK: f"Rolling {app.name} ({environment.name}) back to v{deployment.target_release}",
        Kind.VARIABLES: f"Releasing {app.name} ({environment.name}) anew with changed variables",
        Kind.SETTINGS: f"Releasing {app.name} ({environment.name}) anew with changed settings",
    }[deployment.kind]
    return what + (f" at {deployment.commit[:10]}" if deployment.commit else "")
