"""Every hostname that is served gets a certificate of an authority, and another before that ends.

Level-triggered: what is wanted follows from the tables, whatever happened before. One is obtained at a time (certbot
locks its folders), so that a fault costs the authority's patience once and not for every app.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import msgspec
import structlog

from slipway import clock
from slipway.apps.models import App, Environment
from slipway.certificates import store
from slipway.certificates.models import (
    Certificate,
    CertificateState,
    Served,
    pause_after,
    promise,
    renew_at,
    why_none,
)
from slipway.db import Connection, Database
from slipway.errors import Conflict, HostRefused, NotFound, SlipwayError
from slipway.events.hub import Hub
from slipway.events.models import SLIPWAY, Actor
from slipway.events.service import Events
from slipway.host.client import Host
from slipway.host.protocol import (
    CertificateFacts,
    FindWork,
    InstallCertificate,
    ObtainCertificate,
    RemoveCertificate,
    StopWork,
    WantedCertificate,
    Work,
    WorkKind,
    WorkState,
)
from slipway.settings import Settings

log = structlog.get_logger()
TOPIC = "certificates"
"""Published when one is wanted now."""
GATHER_SECONDS = 1.0
"""Several changes in short order are looked at once."""
LOOK_SECONDS = 3600.0
TRY_AGAIN_SECONDS = 5.0
"""After the database or the host agent was away."""
BY_HAND = timedelta(minutes=1)
"""After a failure it is not tried again by hand before."""


class CertificateView(msgspec.Struct, frozen=True):
    """How a hostname's certificate stands, for people."""

    hostname: str
    app: str | None
    """None: it is the panel's."""
    environment: str | None
    state: str
    """`wanted`, `obtaining`, `valid`, `failed` (the last attempt; what is there is served), or `off`."""
    served: bool
    """Whether browsers get one that they take; else the installation's own."""
    issuer: str | None
    not_before: datetime | None
    not_after: datetime | None
    reason: str | None
    """Why the last attempt failed, or why none is made."""
    tried_at: datetime | None
    next_try_at: datetime | None


class Certificates:
    def __init__(
        self,
        db: Database,
        events: Events,
        hub: Hub,
        host: Host,
        settings: Settings,
        ended_work: Callable[[WorkKind, int], Awaitable[Work]],
    ) -> None:
        """`ended_work` waits until a piece of the host agent's work is over."""
        self._db = db
        self._events = events
        self._hub = hub
        self._host = host
        self._settings = settings
        self._ended_work = ended_work
        self._panel: Certificate | None = None

    # ---- what people see and do ------------------------------------------------------------------------------------

    async def list_certificates(self, team_ids: Sequence[int] | None) -> list[CertificateView]:
        """The panel's first, then those of the teams' apps; None: of all."""
        async with self._db.connection() as connection:
            found = {one.hostname: one for one in await store.list_all(connection)}
            served = await store.list_served(connection)
        own = self._settings.http.panel
        views = [self._view(own, None, found.get(own))]
        for one in served:
            hostname = self._hostname(one)
            if hostname in found and (team_ids is None or one.team_id in team_ids):
                views.append(self._view(hostname, one, found[hostname]))
        return views

    async def of_panel(self) -> CertificateView:
        own = self._settings.http.panel
        async with self._db.connection() as connection:
            return self._view(own, None, await store.find_by_hostname(connection, own))

    async def find(self, app: App, environment: Environment) -> CertificateView | None:
        """None where nothing is served yet, or everything in clear."""
        served = _served(app, environment)
        hostname = self._hostname(served)
        async with self._db.connection() as connection:
            found = await store.find_by_hostname(connection, hostname)
        is_off = self._settings.http.tls and why_none(self._settings) is not None
        return self._view(hostname, served, found) if found or is_off else None

    async def renew(self, actor: Actor, app: App | None, environment: Environment | None) -> CertificateView:
        """Have it obtained anew now, in the background; without an app, the panel's. Raises NotFound, Conflict."""
        self._refuse_if_off()
        served = _served(app, environment) if app and environment else None
        hostname = self._hostname(served) if served else self._settings.http.panel
        async with self._db.transaction() as connection:
            found = await _try_now(connection, hostname)
            await self._events.record(
                connection, "certificate.asked", actor, team_id=served.team_id if served else None,
                app_id=served.app_id if served else None, environment_id=found.environment_id, hostname=hostname,
            )  # fmt: skip
        self._hub.publish(TOPIC)
        return self._view(hostname, served, found)

    def promise_seconds(self) -> int:
        """For how long browsers may insist on the panel's certificate; 0: not at all."""
        return int(promise(self._panel, clock.now()).total_seconds())

    def _hostname(self, served: Served) -> str:
        return self._settings.app_hostname(served.app, served.environment)

    def _view(self, hostname: str, served: Served | None, found: Certificate | None) -> CertificateView:
        off = why_none(self._settings)
        state = "off" if off else found.state.value if found else CertificateState.WANTED.value
        return CertificateView(
            hostname=hostname,
            app=served.app if served else None,
            environment=served.environment if served else None,
            state=state,
            served=found is not None and found.is_served(clock.now()),
            issuer=found.issuer if found else None,
            not_before=found.not_before if found else None,
            not_after=found.not_after if found else None,
            reason=off or (found.reason if found else None),
            tried_at=found.tried_at if found else None,
            next_try_at=found.next_try_at if found and not off else None,
        )

    # ---- for the reconciler ----------------------------------------------------------------------------------------

    async def files(self) -> tuple[WantedCertificate, ...]:
        """What is to lie where nginx reads it."""
        async with self._db.connection() as connection:
            rows = await store.list_all(connection)
        now = clock.now()
        return tuple(
            WantedCertificate(
                one.hostname,
                is_there=one.not_after is not None,
                digest=None if one.state is CertificateState.OBTAINING or one.next_try_at <= now else one.digest,
            )
            for one in rows
        )

    async def put_right(self, hostname: str) -> None:
        """What is left of one without a row, or of which somebody removed a file, goes; with a row it is obtained anew.

        At once: nginx does not start where it names a file that is not there. And first: whatever ends this in the
        middle, the next look finds it again.
        """
        await self._host.call(RemoveCertificate(hostname, keeps=True))
        async with self._db.connection() as connection:
            await store.want_again(connection, hostname)
        self._hub.publish(TOPIC)

    async def replace(self, hostname: str) -> None:
        """Have one obtained anew, in the background; till then what lies there is served. Raises NotFound, Conflict."""
        self._refuse_if_off()
        async with self._db.transaction() as connection:
            await _try_now(connection, hostname)
        self._hub.publish(TOPIC)

    def _refuse_if_off(self) -> None:
        if reason := why_none(self._settings):
            raise Conflict(f"No certificate is asked for here. {reason}")

    # ---- what happens by itself ------------------------------------------------------------------------------------

    async def look_after(self) -> None:
        """For ever: what is wanted is obtained, what ends is renewed, what nobody wants any more goes."""
        async with self._hub.subscribe("apps", TOPIC) as changes:
            while True:
                try:
                    pause = await self._round()
                except SlipwayError as error:
                    log.info("certificates.waiting", error=error.message)
                    pause = TRY_AGAIN_SECONDS
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await anext(changes)
                        await asyncio.sleep(GATHER_SECONDS)

    async def _round(self) -> float:
        """→ seconds until there is something to do, unless something changes."""
        served = await self._settle()
        off = why_none(self._settings)
        async with self._db.connection() as connection:
            self._panel = await store.find_by_hostname(connection, self._settings.http.panel)
            due = await store.find_next(connection)
        if due is None or off:
            return LOOK_SECONDS
        left = (due.next_try_at - clock.now()).total_seconds()
        if due.state is not CertificateState.OBTAINING and left > 0:
            return min(left, LOOK_SECONDS)
        await self._obtain(due, served.get(due.environment_id or 0))
        return 0

    async def _settle(self) -> dict[int, Served]:
        """Make the rows what is wanted; → environments by id."""
        async with self._db.connection() as connection:
            served = await store.list_served(connection)
            there = {one.hostname: one for one in await store.list_all(connection)}
        names = {self._hostname(one): one for one in served}
        own = self._settings.http.panel
        for hostname, one in there.items():
            if hostname != own and hostname not in names:
                await self._forget(one)
        if why_none(self._settings) is None:
            wanted: dict[str, int | None] = {name: one.environment_id for name, one in names.items() if one.is_served}
            wanted[own] = None
            async with self._db.transaction() as connection:
                for hostname, environment_id in wanted.items():
                    if hostname not in there or there[hostname].environment_id != environment_id:
                        await store.want(connection, hostname, environment_id)
        return {one.environment_id: one for one in served}

    async def _forget(self, certificate: Certificate) -> None:
        await self._host.call(StopWork(WorkKind.CERTIFICATE, certificate.id))
        await self._host.call(RemoveCertificate(certificate.hostname))
        async with self._db.connection() as connection:
            await store.delete(connection, [certificate.id])
        log.info("certificate.removed", hostname=certificate.hostname)

    async def _obtain(self, certificate: Certificate, served: Served | None) -> None:
        """One attempt, from its beginning or from where a daemon before left it, to its record."""
        kind, number = WorkKind.CERTIFICATE, certificate.id
        if certificate.state is not CertificateState.OBTAINING:
            await self._host.call(StopWork(kind, number))  # a result of earlier is not this one's
            async with self._db.connection() as connection:
                await store.begin(connection, number, clock.now())
            self._tell(certificate)
        wait = timedelta()
        try:
            if (await self._host.call(FindWork(kind, number))).state is WorkState.UNKNOWN:
                await self._host.call(ObtainCertificate(number, certificate.hostname))
            work = await self._ended_work(kind, number)
            wait = timedelta(seconds=work.wait_seconds)
            if not work.ok:
                raise HostRefused(work.reason or "The attempt was cut short; the server was started anew, say.")
            facts = await self._host.call(InstallCertificate(number, certificate.hostname, certificate.digest))
        except HostRefused as error:
            await self._fail(certificate, served, error.message, wait)
        else:
            await self._succeed(certificate, served, facts)
        await self._host.call(StopWork(kind, number))

    async def _succeed(self, certificate: Certificate, served: Served | None, facts: CertificateFacts) -> None:
        begins, ends = (datetime.fromtimestamp(at, UTC) for at in (facts.not_before, facts.not_after))
        soonest = clock.now() + timedelta(seconds=self._settings.certificates.retry_seconds)
        again = max(renew_at(begins, ends, random.random()), soonest)  # noqa: S311 - not a secret
        async with self._db.transaction() as connection:
            await store.succeed(
                connection, certificate.id, facts.issuer, facts.serial, begins, ends, facts.digest, again
            )
            await self._record(connection, "certificate.obtained", certificate, served, issuer=facts.issuer)
        log.info("certificate.obtained", hostname=certificate.hostname, until=ends.isoformat())
        self._tell(certificate)

    async def _fail(self, certificate: Certificate, served: Served | None, reason: str, wait: timedelta) -> None:
        now, failures = clock.now(), certificate.failures + 1
        first = timedelta(seconds=self._settings.certificates.retry_seconds)
        left = certificate.not_after - now if certificate.not_after else None
        pause = max(pause_after(failures, first, left, random.random()), wait)  # noqa: S311 - not a secret
        async with self._db.transaction() as connection:
            await store.fail(connection, certificate.id, reason, failures, now + pause)
            if failures == 1:  # the row says how it goes on
                await self._record(connection, "certificate.failed", certificate, served, reason=reason)
        log.warning("certificate.failed", hostname=certificate.hostname, failures=failures, reason=reason)
        self._tell(certificate)

    async def _record(
        self, connection: Connection, kind: str, certificate: Certificate, served: Served | None, **data: str
    ) -> None:
        await self._events.record(
            connection, kind, SLIPWAY, team_id=served.team_id if served else None,
            app_id=served.app_id if served else None, environment_id=certificate.environment_id,
            hostname=certificate.hostname, **data,
        )  # fmt: skip

    def _tell(self, certificate: Certificate) -> None:
        if certificate.environment_id is not None:
            self._hub.publish(f"environment:{certificate.environment_id}")


def _served(app: App, environment: Environment) -> Served:
    return Served(environment.id, environment.name, app.id, app.name, app.team_id, is_served=True)


async def _try_now(connection: Connection, hostname: str) -> Certificate:
    """→ as it is then. Raises NotFound, Conflict."""
    found = await store.find_by_hostname(connection, hostname)
    if found is None:
        raise NotFound(f"{hostname} has no certificate yet: it gets one when something is live there.")
    _refuse_haste(found)
    now = clock.now()
    await store.try_at(connection, found.id, now)
    return msgspec.structs.replace(found, next_try_at=now)


def _refuse_haste(certificate: Certificate) -> None:
    if certificate.state is CertificateState.OBTAINING:
        raise Conflict(f"The certificate of {certificate.hostname} is being obtained right now.")
    tried = certificate.tried_at
    if certificate.state is CertificateState.FAILED and tried is not None and clock.now() - tried < BY_HAND:
        raise Conflict(
            f"It was tried less than a minute ago and failed: {certificate.reason} Authorities refuse those who ask "
            "too often: mend that first, and try again in a minute."
        )
