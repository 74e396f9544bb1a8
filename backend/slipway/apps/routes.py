"""/api/apps: apps, their environments, settings and variables."""

from datetime import datetime
from typing import Annotated

import msgspec
from litestar import delete, get, patch, post
from litestar.params import JSONBody

from slipway.apps.models import App, Environment, EnvironmentSettings, Variable
from slipway.apps.service import Apps
from slipway.errors import Invalid
from slipway.events.models import Actor
from slipway.plan import MAX_ENVIRONMENT_BYTES
from slipway.settings import Settings
from slipway.teams.service import Teams
from slipway.web.callers import Caller
from slipway.web.fields import wrong_values
from slipway.web.pagination import DEFAULT_LIMIT, Cursor, Limit, Page, decode_cursor, page
from slipway.web.policies import Policy

APP = "/api/apps/{app_name:str}"
ENVIRONMENTS = APP + "/environments"
ENVIRONMENT = ENVIRONMENTS + "/{environment_name:str}"
VARIABLES_BODY = 7 * MAX_ENVIRONMENT_BYTES
"""Bytes: all variables that an environment may have, though JSON writes a character as six."""

Text = Annotated[str, msgspec.Meta(max_length=4096)]


class NewApp(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: Text
    repository: Text
    branch: Text | None = None
    """`main` unless given."""
    base_directory: Text = ""
    team: Annotated[int, msgspec.Meta(ge=1, le=2**53)] | None = None
    """Only for those who are in several teams."""


class AppChange(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is left out, or null, stays as it is. `base_directory` empty: the repository's root."""

    repository: Text | None = None
    branch: Text | None = None
    base_directory: Text | None = None


class AppView(msgspec.Struct, frozen=True):
    name: str
    team: int
    repository: str
    branch: str
    base_directory: str
    created_at: datetime
    deleting: bool


class EnvironmentView(msgspec.Struct, frozen=True):
    """`branch` is the one that is deployed; `scale` has the processes that do not run once."""

    name: str
    branch: str
    own_branch: bool
    url: str
    settings: EnvironmentSettings
    scale: dict[str, int]
    created_at: datetime
    deleting: bool


class NewEnvironment(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    name: Text
    branch: Text


class EnvironmentChange(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What is left out stays as it is, in `settings` too, where null is what a new environment has (found out from
    the repository, or the default). `branch` null: follow the app's."""

    branch: Text | msgspec.UnsetType | None = msgspec.UNSET
    settings: dict[str, str | int | bool | None] | msgspec.UnsetType = msgspec.UNSET


class VariablesChange(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All of it or nothing. `secret` null: old variables stay what they are, new ones are secret."""

    set: dict[str, str] = {}
    unset: list[str] = []
    secret: bool | None = None


class Revealed(msgspec.Struct, frozen=True):
    key: str
    value: str


def app_view(app: App) -> AppView:
    return AppView(
        app.name,
        app.team_id,
        app.repository,
        app.branch,
        app.base_directory,
        app.created_at,
        app.deleting_at is not None,
    )


def environment_view(app: App, environment: Environment, settings: Settings) -> EnvironmentView:
    return EnvironmentView(
        environment.name,
        environment.branch or app.branch,
        environment.branch is not None,
        settings.url(settings.app_hostname(app.name, environment.name)),
        environment.settings,
        environment.scale,
        environment.created_at,
        environment.deleting_at is not None or app.deleting_at is not None,
    )


@get("/api/apps", policy=Policy.SIGNED_IN)
async def list_apps(caller: Caller, apps: Apps, limit: Limit = DEFAULT_LIMIT, cursor: Cursor = None) -> Page[AppView]:
    """The apps that the caller may see, by name."""
    found = await apps.list_apps(caller.team_ids, decode_cursor(cursor, str), limit + 1)
    return page([app_view(app) for app in found], limit, lambda app: app.name)


@post("/api/apps", policy=Policy.CREATOR, idempotent=True)
async def create_app(data: JSONBody[NewApp], caller: Caller, actor: Actor, teams: Teams, apps: Apps) -> AppView:
    """Make an app with its production environment. Nothing is deployed yet."""
    team_id = await teams.team_for_new_app(caller, data.team)
    return app_view(await apps.create(actor, team_id, data.name, data.repository, data.branch, data.base_directory))


@get(APP, policy=Policy.VIEWER)
async def show_app(app: App) -> AppView:
    """One app."""
    return app_view(app)


@patch(APP, policy=Policy.MEMBER)
async def change_app(data: JSONBody[AppChange], app: App, actor: Actor, apps: Apps) -> AppView:
    """Change where the app comes from. The next deployment uses it; what is live stays."""
    return app_view(await apps.change(actor, app, data.repository, data.branch, data.base_directory))


@delete(APP, policy=Policy.OWNER, status_code=202)
async def delete_app(app: App, actor: Actor, apps: Apps) -> None:
    """Begin to delete an app with all its environments, builds and data. It answers 404 once all is gone."""
    await apps.delete(actor, app)


@get(ENVIRONMENTS, policy=Policy.VIEWER)
async def list_environments(app: App, apps: Apps, settings: Settings) -> list[EnvironmentView]:
    """The app's environments; production first."""
    return [environment_view(app, one, settings) for one in await apps.list_environments(app)]


@post(ENVIRONMENTS, policy=Policy.MEMBER, idempotent=True)
async def create_environment(
    data: JSONBody[NewEnvironment], app: App, actor: Actor, apps: Apps, settings: Settings
) -> EnvironmentView:
    """Make another environment with a branch of its own, without variables and without a release."""
    return environment_view(app, await apps.create_environment(actor, app, data.name, data.branch), settings)


@get(ENVIRONMENT, policy=Policy.VIEWER)
async def show_environment(app: App, environment: Environment, settings: Settings) -> EnvironmentView:
    """One environment with its settings."""
    return environment_view(app, environment, settings)


@patch(ENVIRONMENT, policy=Policy.MEMBER)
async def change_environment(
    data: JSONBody[EnvironmentChange], app: App, environment: Environment, actor: Actor, apps: Apps, settings: Settings
) -> EnvironmentView:
    """Change branch or settings. Changed settings make a new release of what is live, without a build."""
    if data.settings is not msgspec.UNSET:
        wanted = merge_settings(environment.settings, data.settings)
        environment = await apps.change_settings(actor, app, environment, wanted)
    if data.branch is not msgspec.UNSET:
        environment = await apps.change_branch(actor, app, environment, data.branch)
    return environment_view(app, environment, settings)


@delete(ENVIRONMENT, policy=Policy.OWNER, status_code=202)
async def delete_environment(app: App, environment: Environment, actor: Actor, apps: Apps) -> None:
    """Begin to delete an environment with its builds and data. Production goes with its app only."""
    await apps.delete_environment(actor, app, environment)


@get(ENVIRONMENT + "/variables", policy=Policy.VIEWER)
async def list_variables(environment: Environment, apps: Apps) -> list[Variable]:
    """By key. The value of a secret is null."""
    return await apps.list_variables(environment)


@patch(ENVIRONMENT + "/variables", policy=Policy.MEMBER, request_max_body_size=VARIABLES_BODY)
async def change_variables(
    data: JSONBody[VariablesChange], app: App, environment: Environment, actor: Actor, apps: Apps
) -> list[Variable]:
    """Set and unset variables in one step. What is live gets one new release with them, without a build."""
    return await apps.change_variables(actor, app, environment, data.set, data.unset, data.secret)


@get(ENVIRONMENT + "/variables/{key:str}", policy=Policy.MEMBER)
async def reveal_variable(
    key: Annotated[str, "The variable's key."], app: App, environment: Environment, actor: Actor, apps: Apps
) -> Revealed:
    """The value of one variable, secret or not; that a secret was shown is recorded."""
    return Revealed(key, await apps.reveal_variable(actor, app, environment, key))


def merge_settings(old: EnvironmentSettings, changes: dict[str, str | int | bool | None]) -> EnvironmentSettings:
    """The old settings with changes. Raises Invalid with the field's name."""
    known = msgspec.structs.asdict(EnvironmentSettings())
    for name in changes:
        if name not in known:
            raise Invalid(f"There is no setting {name[:64]!r}. There are: {', '.join(known)}.", field=name[:64])
    wanted = {name: known[name] if value is None else value for name, value in changes.items()}
    changed = msgspec.structs.asdict(old) | wanted
    if wrong := wrong_values(changed, EnvironmentSettings):
        raise Invalid(f"{wrong[0].field}: {wrong[0].message}", field=wrong[0].field)
    return msgspec.convert(changed, EnvironmentSettings)


HANDLERS = [
    list_apps,
    create_app,
    show_app,
    change_app,
    delete_app,
    list_environments,
    create_environment,
    show_environment,
    change_environment,
    delete_environment,
    list_variables,
    change_variables,
    reveal_variable,
]
