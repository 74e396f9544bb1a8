"""What the phases of a deployment work with, and how they say that it cannot go on."""

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

from slipway.apps.models import App, Environment
from slipway.apps.service import Apps
from slipway.db import Database
from slipway.deployments import store
from slipway.deployments.hostwatch import HostWatch
from slipway.deployments.models import Deployment
from slipway.disks.service import Disks
from slipway.events.hub import Hub
from slipway.events.service import Events
from slipway.host.client import Host
from slipway.logs.service import Logs
from slipway.processes.service import Processes
from slipway.releases.service import Releases
from slipway.routing.service import Routing
from slipway.settings import Settings


class Failed(Exception):
    """A deployment cannot go on. The message is the reason, in plain words, as it is shown."""


class Stopped(Exception):
    """A deployment is not to go on, though nothing failed. The message is the reason, as it is shown."""


@dataclass(frozen=True)
class Tools:
    settings: Settings
    db: Database
    hub: Hub
    host: Host
    watch: HostWatch
    apps: Apps
    releases: Releases
    routing: Routing
    processes: Processes
    logs: Logs
    events: Events
    disks: Disks
    builds: asyncio.Semaphore
    """As many builds at once as the box is to carry."""
    locks: defaultdict[int, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    """By environment: who may start, stop and switch its instances now."""


@dataclass
class Attempt:
    """One deployment on its way, as its phases see it."""

    deployment: Deployment
    app: App
    environment: Environment
    run_uid: int = 0
    certain: bool = False
    """The switch has been made: it can no longer be cancelled."""

    @property
    def id(self) -> int:
        return self.deployment.id

    @property
    def generation(self) -> int:
        assert self.deployment.generation is not None, "given when it began"
        return self.deployment.generation


OUTPUT_SECONDS = 2.0
"""How long the last lines of a fetch or build may take through the journal of a busy server."""


async def record(tools: Tools, attempt: Attempt, **columns: object) -> None:
    """Keep what a phase found out, for the next one and for a restarted daemon."""
    async with tools.db.connection() as connection:
        attempt.deployment = await store.record(connection, attempt.id, **columns)
    tools.hub.publish(f"deployment:{attempt.id}")


def say(tools: Tools, attempt: Attempt, text: str) -> None:
    """A line of Slipway's own in the deployment's log."""
    tools.logs.write(attempt.id, attempt.deployment.state.value, text)
