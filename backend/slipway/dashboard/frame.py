"""What stands around every page of an environment: how it does, what is live, who may do what."""

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec

from slipway.apps.models import App, Environment
from slipway.apps.service import Apps
from slipway.deployments.models import Deployment, Kind, State
from slipway.deployments.service import Deployments
from slipway.releases.models import Release
from slipway.releases.service import Releases
from slipway.routing.service import Routing
from slipway.teams.models import Role
from slipway.web.callers import Caller

RELEASE_COMMAND = "release"
"""The line of a Procfile that is no process."""
NEWEST = 10
"""Deployments among which one is looked for that is under way."""


class May(msgspec.Struct, frozen=True):
    """What the caller may do with an app, so that pages offer nothing that is refused."""

    change: bool
    own: bool


class Summary(msgspec.Struct, frozen=True):
    """How an environment does, in two words, a sign and a tone; `sign` stands in the tab's title."""

    words: str
    tone: str
    icon: str
    sign: str
    favicon: str
    turning: bool = False


class Frame(msgspec.Struct, frozen=True):
    app: App
    environment: Environment
    environments: list[Environment]
    live: Release | None
    latest: Deployment | None
    going: Deployment | None
    """The one that is under way; else one that waits."""
    serving: Deployment | None
    """The one that put live what is live now."""
    url: str
    may: May

    def context(self, tab: str, **more: Any) -> dict[str, Any]:
        """For `components/environment.html`. `tab` is the path of the tab below the environment's."""
        summary = summarize(self.live, self.going or self.latest)
        return {
            "app": self.app,
            "environment": self.environment,
            "environments": self.environments,
            "live": self.live,
            "serving": self.live.number if self.live else 0,
            "serving_deployment": self.serving.id if self.serving else 0,
            "latest": self.latest,
            "going": self.going,
            "url": self.url,
            "reachable": is_reachable(self.live),
            "may": self.may,
            "deleting": bool(self.app.deleting_at or self.environment.deleting_at),
            "summary": summary,
            "favicon": summary.favicon,
            "topics": f"app:{self.app.id} environment:{self.environment.id}",
            "tab": tab,
        } | more


class Frames:
    """Makes frames."""

    def __init__(self, apps: Apps, deployments: Deployments, releases: Releases, routing: Routing) -> None:
        self._apps = apps
        self._deployments = deployments
        self._releases = releases
        self._routing = routing

    async def of(self, caller: Caller, app: App, environment: Environment) -> Frame:
        environments, live, newest = await asyncio.gather(
            self._apps.list_environments(app),
            self._releases.live_release(environment),
            self._deployments.list_deployments(app, environment, None, NEWEST),
        )
        return Frame(
            app=app,
            environment=environment,
            environments=environments,
            live=live,
            latest=newest[0] if newest else None,
            going=_going(newest),
            serving=await self._deployments.find_live(live.id) if live else None,
            url=self._routing.url(app, environment),
            may=permissions(caller, app),
        )


def provide_frames(apps: Apps, deployments: Deployments, releases: Releases, routing: Routing) -> Frames:
    """The dependency `frames`."""
    return Frames(apps, deployments, releases, routing)


def permissions(caller: Caller, app: App) -> May:
    rank = caller.rank_in(app.team_id)
    return May(change=rank >= Role.MEMBER.rank, own=rank >= Role.OWNER.rank)


def _going(newest: Sequence[Deployment]) -> Deployment | None:
    open_ones = [one for one in reversed(newest) if not one.state.ended]
    return next((one for one in open_ones if one.state is not State.QUEUED), open_ones[0] if open_ones else None)


def is_reachable(live: Release | None) -> bool:
    """Whether something answers at the address: a `web` process, or nginx itself for a static site."""
    return live is not None and (is_static(live) or "web" in live.processes)


def is_static(live: Release) -> bool:
    """Whether there is no process, because nginx serves its files."""
    return not live.processes.keys() - {RELEASE_COMMAND}


def summarize(live: Release | None, latest: Deployment | None) -> Summary:
    """What matters most: something under way, else nothing live, else a failed newest attempt, else all is well."""
    if latest is not None and not latest.state.ended:
        if latest.state is State.QUEUED:
            return Summary("Queued", "busy", "hourglass", "…", "busy")
        words = "Rolling back" if latest.kind is Kind.ROLLBACK else "Deploying"
        return Summary(words, "busy", "sync", "…", "busy", turning=True)
    failed = latest is not None and (latest.state is State.FAILED or latest.undone_by is not None)
    if live is None:
        if failed:
            return Summary("Failed", "bad", "x-circle", "✕", "bad")
        return Summary("Not deployed", "", "circle-slash", "○", "calm")
    if failed:
        return Summary("Live, last deployment failed", "bad", "alert", "!", "bad")
    return Summary("Live", "good", "check-circle", "●", "good")
