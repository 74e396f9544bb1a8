"""The list of apps; making one, deleting one."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from slipway import ids
from slipway.apps.models import PRODUCTION, App, Environment
from slipway.apps.service import Apps
from slipway.dashboard.frame import Summary, summarize
from slipway.dashboard.settings_form import wrong_source
from slipway.deployments.models import Deployment
from slipway.deployments.service import Deployments
from slipway.errors import Invalid, SlipwayError
from slipway.events.models import Actor
from slipway.releases.service import Releases
from slipway.routing.service import Routing
from slipway.settings import Mode, Settings
from slipway.teams.service import Teams
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.views import AnyRequest, Form, Notice, draw, errors_by_field, go, read_form

PER_PAGE = 60


class Card(msgspec.Struct, frozen=True):
    """An app in the list, as its production does."""

    app: App
    url: str
    summary: Summary
    latest: Deployment | None
    environments: int


@get("/", policy=Policy.SIGNED_IN)
async def show_apps(
    request: AnyRequest,
    caller: Caller,
    apps: Apps,
    deployments: Deployments,
    releases: Releases,
    routing: Routing,
    after: Annotated[str | None, QueryParameter(max_length=64)] = None,
) -> Template:
    """The apps that the caller may see."""
    found = await apps.list_apps(caller.team_ids, after, PER_PAGE + 1)
    environments = {app.id: await apps.list_environments(app) for app in found[:PER_PAGE]}
    production = {
        app_id: next((one for one in some if one.name == PRODUCTION), None) for app_id, some in environments.items()
    }
    latest = await deployments.latest([one.id for one in production.values() if one])
    cards = [
        await _card(app, production[app.id], len(environments[app.id]), latest, releases, routing)
        for app in found[:PER_PAGE]
    ]
    return draw(
        request,
        "apps",
        cards=cards,
        next=found[PER_PAGE - 1].name if len(found) > PER_PAGE else None,
        may_create=caller.may_create,
        topics=" ".join(["apps", *(f"environment:{one.id}" for one in production.values() if one)]),
        here=request.url.path + (f"?after={after}" if after else ""),
    )


async def _card(
    app: App,
    production: Environment | None,
    environments: int,
    latest: dict[int, Deployment],
    releases: Releases,
    routing: Routing,
) -> Card:
    if app.deleting_at or production is None:
        return Card(app, "", Summary("Being deleted", "busy", "trash", "", "busy"), None, environments)
    newest = latest.get(production.id)
    live = await releases.live_release(production)
    return Card(app, routing.url(app, production), summarize(live, newest), newest, environments)


@get("/apps/new", policy=Policy.CREATOR)
async def show_new_app(request: AnyRequest, settings: Settings) -> Template:
    return _draw_new_app(request, settings, Form({"deploy": ["yes"]}), {})


@post("/apps/new", policy=Policy.CREATOR, status_code=303)
async def create_app(
    request: AnyRequest,
    caller: Caller,
    actor: Actor,
    settings: Settings,
    teams: Teams,
    apps: Apps,
    deployments: Deployments,
) -> Any:
    """Make the app, deploy it if that was asked for, and go there."""
    form = await read_form(request)
    if errors := _wrong_fields(form, settings):
        return _draw_new_app(request, settings, form, errors, status=Invalid.status)
    try:
        team_id = await teams.team_for_new_app(caller, None)
        app = await apps.create(
            actor,
            team_id,
            form.text("name").strip(),
            form.text("repository").strip(),
            form.text("branch").strip() or None,
            form.text("base_directory").strip(),
        )
    except SlipwayError as error:
        errors = errors_by_field(error, {"name", "repository", "branch", "base_directory"})
        return _draw_new_app(request, settings, form, errors, status=error.status)
    if not form.text("deploy"):
        return go(f"/apps/{app.name}/{PRODUCTION}", Notice.APP_CREATED)
    deployment = await deployments.deploy(actor, app, await apps.get_environment(app))
    return go(f"/apps/{app.name}/{PRODUCTION}/deployments/{deployment.id}")


@get("/apps/{app_name:str}", policy=Policy.VIEWER, sync_to_thread=False)
def show_app(app: App) -> Redirect:
    """An app's page is that of its production."""
    return go(f"/apps/{app.name}/{PRODUCTION}")


@post("/apps/{app_name:str}/delete", policy=Policy.OWNER, status_code=303)
async def delete_app(request: AnyRequest, app: App, actor: Actor, apps: Apps) -> Redirect:
    """Begin to delete the app; its name has to be typed."""
    if (await read_form(request)).text("typed").strip() != app.name:
        raise Invalid(f"Nothing was deleted: what was typed is not the app's name, {app.name}.")
    await apps.delete(actor, app)
    return go("/", Notice.DELETING)


def _wrong_fields(form: Form, settings: Settings) -> dict[str, str]:
    """Everything wrong with a new app at once; making it checks again, and stops at the first."""
    wrong = wrong_source(
        form.text("repository").strip(),
        form.text("branch").strip() or "main",
        form.text("base_directory").strip(),
        settings.mode,
    )
    try:
        ids.app_name(form.text("name").strip())
    except Invalid as error:
        wrong["name"] = error.message
    return wrong


def _draw_new_app(
    request: AnyRequest, settings: Settings, form: Form, errors: dict[str, str], status: int = 200
) -> Template:
    names = ("name", "repository", "branch", "base_directory", "deploy")
    return draw(
        request,
        "new_app",
        status=status,
        values={name: form.text(name) for name in names},
        errors=errors,
        local=settings.mode is not Mode.SERVER,
    )


HANDLERS = [show_apps, show_new_app, create_app, show_app, delete_app]
