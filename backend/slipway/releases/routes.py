"""/api/…/releases."""

from datetime import datetime

import msgspec
from litestar import get

from slipway.apps.models import Environment
from slipway.apps.routes import ENVIRONMENT
from slipway.releases.models import Release
from slipway.releases.service import Releases
from slipway.web.policies import Policy


class ReleaseView(msgspec.Struct, frozen=True):
    name: str
    number: int
    live: bool
    commit: str
    build: int
    processes: dict[str, str]
    """Name → command."""
    reason: str
    created_at: datetime


@get(ENVIRONMENT + "/releases", policy=Policy.VIEWER)
async def list_releases(environment: Environment, releases: Releases) -> list[ReleaseView]:
    """The live release and those that can be rolled back to, newest first."""
    live = await releases.live_release(environment)
    return [release_view(one, live) for one in await releases.list_releases(environment)]


def release_view(release: Release, live: Release | None) -> ReleaseView:
    return ReleaseView(
        release.name,
        release.number,
        live is not None and live.id == release.id,
        release.commit,
        release.build_id,
        release.processes,
        release.reason,
        release.created_at,
    )


HANDLERS = [list_releases]
