"""The composition root: every service made once, wired, and run until the daemon is told to stop."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import structlog

from slipway import settings as settings_module
from slipway.accounts.service import Accounts
from slipway.apps import service as apps_service
from slipway.apps.models import App, Environment
from slipway.apps.scope import provide_app, provide_environment
from slipway.apps.service import Apps
from slipway.certificates.service import Certificates
from slipway.db import Database, migrations
from slipway.deployments.hostwatch import HostWatch
from slipway.deployments.lifecycle import look_after_slots
from slipway.deployments.log_channels import LogChannels
from slipway.deployments.models import Kind
from slipway.deployments.removal import Removal
from slipway.deployments.runner import Runner
from slipway.deployments.service import Deployments
from slipway.deployments.settler import Settler
from slipway.deployments.settling import settle
from slipway.deployments.tools import Tools
from slipway.deployments.watching import Watching
from slipway.disks.service import Disks
from slipway.errors import SlipwayError, Unavailable
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.events.signals import Signals
from slipway.host.client import Host
from slipway.host.protocol import ReadKey
from slipway.logs.journal import UnitNames
from slipway.logs.service import Logs
from slipway.metrics.service import Metrics
from slipway.metrics.tasks import sample_for_ever
from slipway.processes import service as processes_service
from slipway.processes.service import Processes
from slipway.reconcile.service import Reconciler
from slipway.releases.service import Releases
from slipway.routing.access_log import ErrorCounts
from slipway.routing.service import Routing
from slipway.settings import Settings
from slipway.system.housekeeping import keep_house
from slipway.system.operating_system import Machine
from slipway.teams.callers import Callers, provide_actor
from slipway.teams.service import Teams
from slipway.vault import Vault
from slipway.web.application import Application
from slipway.web.application import create as create_application
from slipway.web.server import serve as serve_application
from slipway.web.streams import Streams

log = structlog.get_logger()
DATABASE_SECONDS = 5.0
"""How long a start waits for the database before it serves without it."""
SCALE_SECONDS = 5.0
"""How long a request for another scale waits until it is so; it goes on where that takes longer."""


def dsn(settings: Settings) -> str:
    """Peer authentication over PostgreSQL's unix socket."""
    return f"postgresql://slipway@/slipway?host={settings.paths.postgresql}"


class Slipway:
    """Everything the daemon has. `run` starts what runs by itself."""

    def __init__(self, settings: Settings, key: bytes) -> None:
        self.settings = settings
        self.db = Database(dsn(settings))
        self.hub = Hub()
        self.signals = Signals()
        self.events = Events(self.db)
        self.host = Host(settings.paths.host_socket)
        vault = Vault(key)
        self.accounts = Accounts(self.db, self.events)
        self.teams = Teams(self.db, self.accounts)
        self.apps = Apps(self.db, self.events, self.hub, self.signals, vault, settings)
        self.releases = Releases(self.db, self.apps, vault, settings)
        self.routing = Routing(self.db, settings)
        self.streams = Streams(settings.streams)
        self.logs = Logs(self.db, self.hub, UnitNames(settings.id), settings)
        self.processes = Processes(
            self.db, self.events, self.hub, self.signals, self.host, self.releases, self.logs.last_lines
        )
        self.disks = Disks(self.db, self.host, self.events, self.hub, settings)
        self.deployments = Deployments(self.db, self.events, self.hub, self.logs)
        self.machine = Machine(self.db, self.events, self.host, settings)
        self.metrics = Metrics(self.db, self.hub, self.host, settings)
        self.tools = Tools(
            settings=settings,
            db=self.db,
            hub=self.hub,
            host=self.host,
            watch=HostWatch(self.host, self.processes, self.hub),
            apps=self.apps,
            releases=self.releases,
            routing=self.routing,
            processes=self.processes,
            logs=self.logs,
            events=self.events,
            disks=self.disks,
            builds=asyncio.Semaphore(settings.limits.builds_at_once),
        )
        self.certificates = Certificates(self.db, self.events, self.hub, self.host, settings, self.tools.watch.work)
        self.settler = Settler(lambda environment_id: settle(self.tools, environment_id))
        self.runner = Runner(self.tools, self.settler)
        self.reconciler = Reconciler(self.tools, self.settler, self.certificates, settings.reconciling.every_seconds)
        self.removal = Removal(self.tools, self.runner)
        self.errors = ErrorCounts(settings.paths.log / "access.log")
        self.watching = Watching(self.tools, self.deployments, self.errors)
        self._wire()

    def _wire(self) -> None:
        """Who listens to whom, upwards."""
        self.deployments.on_request = self.runner.wake
        self.deployments.on_cancel = self.runner.cancel

        self.tools.watch.on_change = self.reconciler.hint
        self.tools.watch.on_return = self.reconciler.wake

        async def changed_variables(actor: Actor, app: App, environment: Environment) -> None:
            await self.deployments.release_anew(actor, app, environment, Kind.VARIABLES)

        async def changed_settings(actor: Actor, app: App, environment: Environment) -> None:
            await self.deployments.release_anew(actor, app, environment, Kind.SETTINGS)

        async def deleted(app: App) -> None:
            self.removal.wake()

        async def scaled(environment_id: int) -> None:
            await self.settler.settle(environment_id, SCALE_SECONDS)

        async def crashed(environment_id: int, generation: int, *, out_of_memory: bool) -> None:
            if out_of_memory:
                self.metrics.killed(environment_id)

        self.signals.connect(processes_service.CRASHED, crashed)
        self.signals.connect(apps_service.CHANGED_VARIABLES, changed_variables)
        self.signals.connect(apps_service.CHANGED_SETTINGS, changed_settings)
        self.signals.connect(apps_service.DELETED, deleted)
        self.signals.connect(processes_service.SCALED, scaled)

    def application(self) -> Application:
        """The pages and the API over these services."""
        from slipway.routes import HANDLERS

        return create_application(
            settings=self.settings,
            db=self.db,
            credentials=Callers(self.db, self.accounts, self.teams),
            find_app=self.apps.get_app,
            handlers=HANDLERS,
            promise_seconds=self.certificates.promise_seconds,
            services={
                "settings": self.settings,
                "db": self.db,
                "hub": self.hub,
                "host": self.host,
                "events": self.events,
                "accounts": self.accounts,
                "teams": self.teams,
                "log_channels": LogChannels(self.logs),
                "streams": self.streams,
                "apps": self.apps,
                "releases": self.releases,
                "routing": self.routing,
                "processes": self.processes,
                "logs": self.logs,
                "disks": self.disks,
                "deployments": self.deployments,
                "certificates": self.certificates,
                "metrics": self.metrics,
                "machine": self.machine,
                "reconciler": self.reconciler,
            },
            dependencies={"actor": provide_actor, "app": provide_app, "environment": provide_environment},
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything that runs by itself, for as long as the context lasts."""
        tasks = [
            asyncio.create_task(_guarded(name, coroutine), name=name)
            for name, coroutine in (
                ("journals", self.logs.read_journals()),
                ("log writer", self.logs.store_lines()),
                ("host watch", self.tools.watch.listen()),
                ("exits", self.tools.watch.collect_exits()),
                ("access log", self.errors.read()),
                ("runner", self.runner.run()),
                ("reconciler", self.reconciler.run()),
                ("slots", look_after_slots(self.tools, self.settler)),
                ("watching", self.watching.watch()),
                ("removal", self.removal.remove_for_ever()),
                ("certificates", self.certificates.look_after()),
                ("figures", sample_for_ever(self.metrics, self.settings.metrics.every_seconds)),
                ("disks", self.disks.look_after()),
                ("housekeeping", keep_house(self.db, self.settings.history)),
            )
        ]
        try:
            yield
        finally:
            await self.runner.stop()
            await self.settler.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.metrics.close()
            await self.db.close()


async def _guarded(name: str, coroutine: Coroutine[Any, Any, None]) -> None:
    """A task that must never end: where it does, the daemon ends too and systemd starts it anew, settled."""
    try:
        await coroutine
    except asyncio.CancelledError:
        raise
    except BaseException:
        log.exception("task.died", task=name)
        sys.stderr.flush()
        os._exit(1)
    log.error("task.ended", task=name)
    os._exit(1)


async def _key(settings: Settings) -> bytes:
    """The encryption key: a credential of the unit, or where that cannot be, from the host agent."""
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials and (path := Path(credentials) / "key").is_file():
        return path.read_bytes()
    host = Host(settings.paths.host_socket)
    while True:
        try:
            return (await host.call(ReadKey())).key
        except Unavailable as error:
            log.warning("key.waiting", error=error.message)
            await asyncio.sleep(1)


async def _serve(settings: Settings) -> None:
    """Serve at once, work when the database is there: until then, pages say that it is away."""
    slipway = Slipway(settings, await _key(settings))
    answered = asyncio.Event()
    working = asyncio.create_task(_work(slipway, settings, answered), name="work")
    waiting = asyncio.create_task(answered.wait())
    # A schema that does not fit is refused before anything is served.
    await asyncio.wait([working, waiting], timeout=DATABASE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not working.done():
        serving = asyncio.create_task(serve_application(slipway.application(), settings), name="serve")
        await asyncio.wait([working, serving], return_when=asyncio.FIRST_COMPLETED)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


async def _work(slipway: Slipway, settings: Settings, answered: asyncio.Event) -> None:
    """Everything that runs by itself, from when the database answers until cancelled. Raises where it does not fit."""
    while True:
        try:
            async with slipway.db.connection() as connection:
                await migrations.check(connection, _migrations(settings))
            break
        except Unavailable as error:
            log.warning("database.waiting", error=error.message)
            await asyncio.sleep(1)
    answered.set()
    async with slipway.running():
        await asyncio.Event().wait()


async def _migrate(settings: Settings) -> None:
    db = Database(dsn(settings), size=1)
    try:
        async with db.connection() as connection:
            for migration in await migrations.migrate(connection, _migrations(settings)):
                print(f"applied {migration.name}")
    finally:
        await db.close()


def _migrations(settings: Settings) -> Path:
    return settings.paths.current / "migrations"


def serve() -> int:
    """`slipway serve`: the daemon, until SIGTERM. → exit code 1 with the reason where it cannot start."""
    return _to_exit_code(_serve)


def migrate() -> int:
    """`slipway migrate`: bring the schema up to this program's."""
    return _to_exit_code(_migrate)


def _to_exit_code(main: Any) -> int:
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    try:
        asyncio.run(main(settings_module.load()))
    except SlipwayError as error:
        print(f"slipway: {error.message}", file=sys.stderr)
        return 1
    return 0
