"""What people do with apps, environments and variables."""

from collections.abc import Mapping, Sequence

from slipway import ids
from slipway.apps import store
from slipway.apps.models import (
    MAX_VARIABLES,
    MAX_VARIABLES_BYTES,
    PRODUCTION,
    App,
    Environment,
    EnvironmentSettings,
    Variable,
    check_key,
    check_value,
)
from slipway.db import Connection, Database
from slipway.errors import Conflict, Invalid, NotFound
from slipway.events.hub import Hub
from slipway.events.models import Actor
from slipway.events.service import Events
from slipway.events.signals import Signals
from slipway.plan import check_command, check_relative_path, size_of_variables
from slipway.repository import check_base_directory, check_branch, check_repository
from slipway.settings import Settings
from slipway.vault import Vault

CHANGED_VARIABLES = "variables.changed"
CHANGED_SETTINGS = "settings.changed"
DELETED = "app.deleted"


class Apps:
    """Signals that it sends: `variables.changed` and `settings.changed` (actor, app, environment), `app.deleted`."""

    def __init__(
        self, db: Database, events: Events, hub: Hub, signals: Signals, vault: Vault, settings: Settings
    ) -> None:
        self._db = db
        self._events = events
        self._hub = hub
        self._signals = signals
        self._vault = vault
        self._settings = settings

    async def create(
        self,
        actor: Actor,
        team_id: int,
        name: str,
        repository: str,
        branch: str | None = None,
        base_directory: str = "",
    ) -> App:
        """Make an app and its production environment. Raises Invalid or Conflict with the field's name."""
        ids.app_name(name)
        repository = check_repository(repository.strip(), self._settings.mode)
        branch = check_branch(branch or "main")
        base_directory = check_base_directory(base_directory)
        if self._settings.app_hostname(name, PRODUCTION) == self._settings.http.panel:
            raise Conflict(f"{name} is the panel's own name here. Choose another name.", field="name")
        async with self._db.transaction() as connection:
            present = await store.find_app(connection, name)
            if present is not None and present.deleting_at:
                raise Conflict(f"An app named {name} is being deleted: try again in a moment.", field="name")
            app = await store.insert_app(connection, team_id, name, repository, branch, base_directory)
            environment = await store.insert_environment(
                connection, app.id, PRODUCTION, None, self._settings.apps.places
            )
            await self._events.record(
                connection, "app.created", actor, team_id=team_id, app_id=app.id,
                environment_id=environment.id, name=name, repository=repository,
            )  # fmt: skip
        self._hub.publish("apps")
        return app

    async def list_apps(self, team_ids: Sequence[int] | None, after: str | None = None, limit: int = 100) -> list[App]:
        """Apps of these teams (None: of all) by name, those after `after`."""
        async with self._db.connection() as connection:
            return await store.list_apps(connection, team_ids, after or "", limit)

    async def get_app(self, name: str) -> App:
        async with self._db.connection() as connection:
            app = await store.find_app(connection, name)
        if app is None:
            raise NotFound(f"There is no app named {name!r}.")
        return app

    async def change(
        self,
        actor: Actor,
        app: App,
        repository: str | None = None,
        branch: str | None = None,
        base_directory: str | None = None,
    ) -> App:
        """Build from elsewhere, from the next deployment on; None: as it is. Raises Invalid with the field's name."""
        _refuse_deleting(app)
        repository = app.repository if repository is None else check_repository(repository.strip(), self._settings.mode)
        branch = app.branch if branch is None else check_branch(branch)
        base_directory = app.base_directory if base_directory is None else check_base_directory(base_directory)
        async with self._db.transaction() as connection:
            changed = await store.update_app(connection, app.id, repository, branch, base_directory)
            await self._events.record(
                connection, "app.changed", actor, team_id=app.team_id, app_id=app.id,
                repository=repository, branch=branch, base_directory=base_directory,
            )  # fmt: skip
        self._hub.publish("apps", f"app:{app.id}")
        return changed

    async def delete(self, actor: Actor, app: App) -> None:
        """Begin to remove an app with all its environments, builds and data. It is gone when nothing is left of it."""
        async with self._db.transaction() as connection:
            await store.mark_app_deleting(connection, app.id)
            await self._events.record(
                connection, "app.deleted", actor, team_id=app.team_id, app_id=app.id, name=app.name
            )
        self._hub.publish("apps", f"app:{app.id}")
        await self._signals.send(DELETED, app=app)

    async def list_environments(self, app: App) -> list[Environment]:
        async with self._db.connection() as connection:
            return await store.list_environments(connection, app.id)

    async def get_environment(self, app: App, name: str = PRODUCTION) -> Environment:
        async with self._db.connection() as connection:
            environment = await store.find_environment(connection, app.id, name)
        if environment is None:
            raise NotFound(f"{app.name} has no environment named {name!r}.")
        return environment

    async def create_environment(self, actor: Actor, app: App, name: str, branch: str) -> Environment:
        """Make another environment with a branch of its own. It begins without variables and without a release."""
        _refuse_deleting(app)
        ids.app_name(name)
        branch = check_branch(branch)
        hostname = self._settings.app_hostname(app.name, name)
        if len(hostname.split(".", 1)[0]) > 63:
            raise Invalid(f"{hostname} would be too long for a hostname: choose a shorter name.", field="name")
        async with self._db.transaction() as connection:
            environment = await store.insert_environment(connection, app.id, name, branch, self._settings.apps.places)
            await self._events.record(
                connection, "environment.created", actor, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id, name=name, branch=branch,
            )  # fmt: skip
        self._hub.publish("apps", f"app:{app.id}")
        return environment

    async def delete_environment(self, actor: Actor, app: App, environment: Environment) -> None:
        """Begin to remove an environment with its builds and data. Production goes with its app only."""
        if environment.name == PRODUCTION:
            raise Conflict("Production goes with its app: delete the app instead.")
        async with self._db.transaction() as connection:
            await store.mark_environment_deleting(connection, environment.id)
            await self._events.record(
                connection, "environment.deleted", actor, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id, name=environment.name,
            )  # fmt: skip
        self._hub.publish("apps", f"app:{app.id}")
        await self._signals.send(DELETED, app=app)

    async def change_settings(
        self, actor: Actor, app: App, environment: Environment, settings: EnvironmentSettings
    ) -> Environment:
        """Replace an environment's settings. What is live gets a new release with them (without a build)."""
        _refuse_deleting(app)
        _check_settings(settings)
        async with self._db.transaction() as connection:
            changed = await store.update_settings(connection, environment.id, settings)
            await self._events.record(
                connection, "settings.changed", actor, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id,
            )  # fmt: skip
        self._hub.publish(f"environment:{environment.id}")
        if changed.settings != environment.settings:
            await self._signals.send(CHANGED_SETTINGS, actor=actor, app=app, environment=changed)
        return changed

    async def change_branch(self, actor: Actor, app: App, environment: Environment, branch: str | None) -> Environment:
        """Follow another branch from the next deployment on; None: the app's."""
        branch = check_branch(branch) if branch else None
        async with self._db.transaction() as connection:
            await store.update_branch(connection, environment.id, branch)
            await self._events.record(
                connection, "environment.changed", actor, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id, branch=branch,
            )  # fmt: skip
            return await store.get_environment_by_id(connection, environment.id)

    async def list_variables(self, environment: Environment) -> list[Variable]:
        """By key; secrets without their values."""
        async with self._db.connection() as connection:
            sealed = await store.list_variables(connection, environment.id)
        return [
            Variable(
                key=row.key,
                value=None if row.secret else self._open(environment.id, row),
                secret=row.secret,
                updated_at=row.updated_at,
            )
            for row in sealed
        ]

    async def reveal_variable(self, actor: Actor, app: App, environment: Environment, key: str) -> str:
        """The value of one variable, secret or not; that it was shown is recorded."""
        async with self._db.transaction() as connection:
            for row in await store.list_variables(connection, environment.id):
                if row.key == key:
                    if row.secret:
                        await self._events.record(
                            connection, "variable.revealed", actor, team_id=app.team_id, app_id=app.id,
                            environment_id=environment.id, key=key,
                        )  # fmt: skip
                    return self._open(environment.id, row)
        raise NotFound(f"{app.name} ({environment.name}) has no variable {key!r}.")

    async def set_variables(
        self,
        actor: Actor,
        app: App,
        environment: Environment,
        values: Mapping[str, str],
        secret: bool | None = None,
    ) -> list[Variable]:
        """Set variables, all or none. `secret` None: old ones keep what they are, new ones are secret."""
        return await self.change_variables(actor, app, environment, values, (), secret)

    async def unset_variables(
        self, actor: Actor, app: App, environment: Environment, keys: Sequence[str]
    ) -> list[Variable]:
        """Remove variables; keys that are not there are fine."""
        return await self.change_variables(actor, app, environment, {}, keys, None)

    async def change_variables(
        self,
        actor: Actor,
        app: App,
        environment: Environment,
        values: Mapping[str, str],
        unset: Sequence[str],
        secret: bool | None,
        *,
        new_are_secret: bool = True,
    ) -> list[Variable]:
        """Set and unset variables in one step; what is live gets one new release with them, without a build.

        `secret` None: old ones keep what they are, new ones are as `new_are_secret` says.
        """
        _refuse_deleting(app)
        for key, value in values.items():
            check_value(check_key(key), value)
        for key in unset:
            check_key(key)
        async with self._db.transaction() as connection:
            for key, value in values.items():
                sealed = self._vault.seal(value.encode(), _context(environment.id, key))
                await store.put_variable(connection, environment.id, key, sealed, secret, new_are_secret)
            removed = await store.delete_variables(connection, environment.id, unset)
            if len(await store.list_variables(connection, environment.id)) > MAX_VARIABLES:
                raise Invalid(f"An environment can have {MAX_VARIABLES} variables; this would be more.")
            size = size_of_variables(await self.all_values(connection, environment.id)) if values else 0
            if size > MAX_VARIABLES_BYTES:
                raise Invalid(
                    f"All variables together would have {size:,} bytes; a process can be started with "
                    f"{MAX_VARIABLES_BYTES:,} at most. Put what is large into a file or a database, and its place "
                    "into a variable."
                )
            if values or removed:
                await self._events.record(
                    connection, "variables.changed", actor, team_id=app.team_id, app_id=app.id,
                    environment_id=environment.id, set=sorted(values), unset=removed,
                )  # fmt: skip
        if values or removed:
            self._hub.publish(f"environment:{environment.id}")
            await self._signals.send(CHANGED_VARIABLES, actor=actor, app=app, environment=environment)
        return await self.list_variables(environment)

    async def all_values(self, connection: Connection, environment_id: int) -> dict[str, str]:
        """Every variable in clear: for the builds and releases that are given them."""
        return {
            row.key: self._open(environment_id, row) for row in await store.list_variables(connection, environment_id)
        }

    def _open(self, environment_id: int, row: store.SealedVariable) -> str:
        return self._vault.open(row.value, _context(environment_id, row.key)).decode()


def _context(environment_id: int, key: str) -> str:
    return f"variable {key} of environment {environment_id}"


def _refuse_deleting(app: App) -> None:
    if app.deleting_at:
        raise Conflict(f"{app.name} is being deleted.")


def _check_settings(settings: EnvironmentSettings) -> None:
    for name in ("install_command", "build_command", "start_command", "release_command"):
        command = getattr(settings, name)
        if command:  # an empty one means that nothing is run
            check_command(command, field=name)
    if settings.public_folder is not None:
        check_relative_path(settings.public_folder, field="public_folder")
