"""/api/status: how Slipway itself does; /api/changes: that something changed."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.types import ASGIApp

from slipway import __version__
from slipway.accounts.service import Accounts
from slipway.certificates.service import Certificates, CertificateView
from slipway.db import Database
from slipway.errors import Unavailable
from slipway.events.hub import Hub
from slipway.host.client import Host
from slipway.settings import Settings
from slipway.system.changes import changes_for
from slipway.system.health import PartHealth, ask_all
from slipway.web.callers import Caller
from slipway.web.context import still_allowed
from slipway.web.policies import Policy
from slipway.web.streams import event_stream


class Ping(msgspec.Struct, frozen=True):
    ok: bool


class StatusView(msgspec.Struct, frozen=True):
    ok: bool
    version: str
    url: str
    mode: str
    has_accounts: bool | None
    """Whether anyone can sign in yet; null while the database does not answer."""
    parts: list[PartHealth]
    certificate: CertificateView | None
    """The panel's; null while the database does not answer."""


@get("/api/ping", policy=Policy.PUBLIC, sync_to_thread=False)
def ping() -> Ping:
    """Whether the daemon answers."""
    return Ping(ok=True)


@get("/api/status", policy=Policy.SIGNED_IN)
async def show_status(
    settings: Settings, db: Database, host: Host, accounts: Accounts, certificates: Certificates
) -> StatusView:
    """Version, address, and whether each part answers."""
    parts = await ask_all(db, host, settings)
    ok = all(part.ok for part in parts)
    has_accounts, certificate = None, None
    try:
        has_accounts = await accounts.has_accounts()
        certificate = await certificates.of_panel()
    except Unavailable:
        pass
    return StatusView(ok, __version__, settings.panel_url, settings.mode.value, has_accounts, parts, certificate)


@get("/api/changes", policy=Policy.SIGNED_IN)
async def stream_changes(request: Request[Any, Any, Any], caller: Caller, db: Database, hub: Hub) -> ASGIApp:
    """Server-Sent Events: `changed` with topics of what the caller may see.

    They are `apps`, `app:<id>`, `environment:<id>` and `deployment:<id>`, and say that something changed, never what:
    fetch it again.
    """
    return event_stream(changes_for(caller, db, hub), still_allowed(request))


HANDLERS = [ping, show_status, stream_changes]
