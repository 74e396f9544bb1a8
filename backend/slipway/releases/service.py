"""Making releases, and finding them."""

import msgspec

from slipway.apps.models import App, Environment, EnvironmentSettings
from slipway.apps.service import Apps
from slipway.builds import store as builds
from slipway.db import Connection, Database
from slipway.errors import NotFound
from slipway.releases import store
from slipway.releases.models import Newer, Release
from slipway.settings import Settings
from slipway.vault import Vault


class Releases:
    """Builds + variables + settings, frozen."""

    def __init__(self, db: Database, apps: Apps, vault: Vault, settings: Settings) -> None:
        self._db = db
        self._apps = apps
        self._vault = vault
        self._settings = settings

    async def list_releases(self, environment: Environment) -> list[Release]:
        """The live one and those that can be rolled back to, newest first."""
        async with self._db.connection() as connection:
            return await store.list_kept(connection, environment.id)

    async def get_release(self, environment: Environment, number: int) -> Release:
        async with self._db.connection() as connection:
            release = await store.find_by_number(connection, environment.id, number)
        if release is None:
            raise NotFound(f"There is no release v{number} of {environment.name}.")
        return release

    async def live_release(self, environment: Environment) -> Release | None:
        async with self._db.connection() as connection:
            return await store.find_live(connection, environment.id)

    async def make(self, connection: Connection, environment: Environment, build_id: int, reason: str) -> Release:
        """Freeze a build with the environment's variables and settings as they are now."""
        build = await builds.get_build(connection, build_id)
        assert build.plan is not None, "a release is made of a build that is ready"
        number = await store.next_number(connection, environment.id)
        values = await self._apps.all_values(connection, environment.id)
        release_id = await store.insert_release(
            connection,
            environment.id,
            number,
            build_id,
            self._vault.seal(msgspec.json.encode(values), _context(environment.id, number)),
            environment.settings,
            _processes(build.plan.processes, build.plan.release_command, environment.settings),
            reason,
        )
        release = await store.find_release(connection, release_id)
        assert release is not None
        return release

    async def variables(
        self, connection: Connection, app: App, environment: Environment, release: Release
    ) -> dict[str, str]:
        """What the release's processes are given: its frozen variables, and Slipway's own."""
        frozen = await self._frozen(connection, environment, release)
        hostname = self._settings.app_hostname(app.name, environment.name)
        return frozen | {
            "SLIPWAY_APP": app.name,
            "SLIPWAY_ENVIRONMENT": environment.name,
            "SLIPWAY_RELEASE": release.name,
            "SLIPWAY_COMMIT": release.commit,
            "SLIPWAY_URL": self._settings.url(hostname),
        }

    async def newer(self, environment: Environment, release: Release) -> Newer:
        """Which variables and settings are not, or no longer, as the release was made with them."""
        async with self._db.connection() as connection:
            frozen = await self._frozen(connection, environment, release)
            present = await self._apps.all_values(connection, environment.id)
        names = sorted(key for key in frozen.keys() | present.keys() if frozen.get(key) != present.get(key))
        then, now = msgspec.structs.asdict(release.settings), msgspec.structs.asdict(environment.settings)
        return Newer(names, [name for name in now if now[name] != then[name]])

    async def _frozen(self, connection: Connection, environment: Environment, release: Release) -> dict[str, str]:
        sealed = await store.get_sealed_variables(connection, release.id)
        return msgspec.json.decode(
            self._vault.open(sealed, _context(environment.id, release.number)), type=dict[str, str]
        )


def _processes(planned: dict[str, str], release_command: str | None, settings: EnvironmentSettings) -> dict[str, str]:
    """Settings made after the build override what the build found."""
    processes = dict(planned)
    if settings.start_command:
        processes["web"] = settings.start_command
    command = settings.release_command or release_command
    processes.pop("release", None)
    if command:
        processes["release"] = command
    return processes


def _context(environment_id: int, number: int) -> str:
    return f"variables of release v{number} of environment {environment_id}"
