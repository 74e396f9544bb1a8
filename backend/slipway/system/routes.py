"""/api/status: how Slipway itself does; /api/system: the machine; /api/changes: that something changed."""

from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, get, put
from litestar.params import JSONBody
from litestar.types import ASGIApp

from slipway import __version__
from slipway.accounts.service import Accounts
from slipway.certificates.service import Certificates, CertificateView
from slipway.db import Database
from slipway.errors import Unavailable
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.host.client import Host
from slipway.reconcile.service import Reconciler
from slipway.settings import Settings
from slipway.system.changes import changes_for
from slipway.system.health import PartHealth, ask_all
from slipway.system.operating_system import Machine, OperatingSystem
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.streams import Streams


class Ping(msgspec.Struct, frozen=True):
    ok: bool


class DriftView(msgspec.Struct, frozen=True):
    """Of the newest look, which is not made for this: at the start, on signals, hourly, and by `slipway doctor`."""

    looked_at: datetime | None
    """Null: not yet, since the daemon started."""
    findings: int
    """What is not as it should be, and waits for a person."""


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
    operating_system: OperatingSystem | None
    """Null for those who may not look after the machine."""
    drift: DriftView | None
    """The same."""


class SecurityUpdatesWish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    on: bool


@get("/api/ping", policy=Policy.PUBLIC, sync_to_thread=False)
def ping() -> Ping:
    """Whether the daemon answers."""
    return Ping(ok=True)


@get("/api/status", policy=Policy.SIGNED_IN)
async def show_status(
    caller: Caller,
    settings: Settings,
    db: Database,
    host: Host,
    accounts: Accounts,
    certificates: Certificates,
    machine: Machine,
    reconciler: Reconciler,
) -> StatusView:
    """Version, address, whether each part answers, what the operating system needs, what a person has to decide."""
    parts = await ask_all(db, host, settings)
    system, drift = None, None
    if caller.may_administer:
        system = await machine.operating_system()
        drift = DriftView(reconciler.looked_at, len(reconciler.findings_for(caller.team_ids)))
    ok = all(part.ok for part in parts)
    has_accounts, certificate = None, None
    try:
        has_accounts = await accounts.has_accounts()
        certificate = await certificates.of_panel()
    except Unavailable:
        pass
    return StatusView(
        ok, __version__, settings.panel_url, settings.mode.value, has_accounts, parts, certificate, system, drift
    )


@get("/api/system", policy=Policy.ADMINISTRATOR)
async def show_system(machine: Machine) -> OperatingSystem:
    """The operating system, its pending updates, and whether it needs a reboot."""
    return await machine.operating_system()


@put("/api/system/security-updates", policy=Policy.ADMINISTRATOR)
async def set_security_updates(data: JSONBody[SecurityUpdatesWish], actor: Actor, machine: Machine) -> OperatingSystem:
    """Whether the operating system installs security updates by itself; on a server only."""
    return await machine.set_security_updates(actor, on=data.on)


@get("/api/changes", policy=Policy.SIGNED_IN, stream=True)
async def stream_changes(
    request: Request[Any, Any, Any],
    caller: Caller,
    db: Database,
    hub: Hub,
    streams: Streams,
    figures: bool = False,
) -> ASGIApp:
    """Server-Sent Events: `changed` with topics of what the caller may see.

    They are `apps`, `app:<id>`, `environment:<id>` and `deployment:<id>`, and say that something changed, never what:
    fetch it again. With `?figures=true` also `figures`, whenever there are new ones.
    """
    return streams.open(request, changes_for(caller, db, hub, figures=figures))


HANDLERS = [ping, show_status, show_system, set_security_updates, stream_changes]
