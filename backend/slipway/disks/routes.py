"""/api/disk: what the box's disk holds; /api/apps/{app}/disk: what an app takes of it, and may."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import get, put
from litestar.params import JSONBody

from slipway.apps.models import App
from slipway.apps.routes import APP
from slipway.disks.models import AppUsage, FileSystem
from slipway.disks.service import LARGEST_BUDGET, Disks
from slipway.events.models import Actor
from slipway.settings import Settings
from slipway.web.callers import Caller
from slipway.web.policies import Policy


class AppDisk(msgspec.Struct, frozen=True):
    """In bytes, when it was last measured; the budget in MiB."""

    app: str
    total: int
    builds: int
    caches: int
    data: int
    repository: int
    budget: int
    own_budget: bool
    """Whether the app has a budget of its own; else it has the settings'."""
    measured_at: datetime | None


class BoxDisk(msgspec.Struct, frozen=True):
    """`reserve` (MiB) stays free on each file system. Of apps, those that the caller may see."""

    reserve: int
    file_systems: list[FileSystem]
    apps: list[AppDisk]


class Budget(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    budget: Annotated[int, msgspec.Meta(ge=16, le=LARGEST_BUDGET)] | None
    """MiB; null: what the settings give every app."""


def app_disk(usage: AppUsage) -> AppDisk:
    return AppDisk(
        usage.app,
        usage.total,
        usage.builds,
        usage.caches,
        usage.data,
        usage.mirror,
        usage.budget,
        usage.own_budget,
        usage.measured_at,
    )


@get("/api/disk", policy=Policy.SIGNED_IN)
async def show_disk(caller: Caller, disks: Disks, settings: Settings) -> BoxDisk:
    """The file systems as they are now, and what apps took of them when they were last measured."""
    usages = await disks.list_usages(caller.team_ids)
    return BoxDisk(settings.disk.reserve, disks.file_systems(), [app_disk(one) for one in usages])


@get(APP + "/disk", policy=Policy.VIEWER)
async def show_app_disk(app: App, disks: Disks) -> AppDisk:
    """What an app takes of the disk, all environments together."""
    return app_disk(await disks.usage_of(app))


@put(APP + "/disk", policy=Policy.OWNER)
async def set_budget(data: JSONBody[Budget], app: App, actor: Actor, disks: Disks) -> AppDisk:
    """Set how much an app may take. What it takes already stays; a build that would not fit does not begin."""
    return app_disk(await disks.set_budget(actor, app, data.budget))


HANDLERS = [show_disk, show_app_disk, set_budget]
