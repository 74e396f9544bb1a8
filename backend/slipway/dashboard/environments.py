"""An environment's overview; making one, deleting one, changing its settings and the number of its instances."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
from litestar import MediaType, get, post
from litestar.params import QueryParameter
from litestar.response import Redirect, Template

from slipway.apps.models import PRODUCTION, App, Environment, EnvironmentSettings
from slipway.apps.service import Apps
from slipway.certificates.service import Certificates
from slipway.clock import now
from slipway.dashboard.charts import Period, charts_of_environment
from slipway.dashboard.frame import Frame, Frames
from slipway.dashboard.settings_form import wrong_settings, wrong_source
from slipway.dashboard.steps import steps_of
from slipway.deployments.models import Deployment
from slipway.deployments.service import Deployments
from slipway.disks.service import Disks
from slipway.errors import HostRefused, Invalid, SlipwayError, Unavailable
from slipway.events.models import Actor
from slipway.metrics.service import Metrics
from slipway.processes.models import ProcessState
from slipway.processes.service import Processes
from slipway.reconcile.models import Finding
from slipway.reconcile.service import Reconciler
from slipway.releases.service import Releases
from slipway.repository import check_branch
from slipway.routing.service import Routing
from slipway.settings import SLOTS, Settings
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.presentation import fingerprint
from slipway.web.views import AnyRequest, Form, Notice, draw, errors_by_field, go, read_form

ENVIRONMENT = "/apps/{app_name:str}/{environment_name:str}"
SHOWN_DEPLOYMENTS = 6
SHOWN_CRASHES = 5
SLOT_WORDS = {
    "incoming": "coming in",
    "live": "gets the traffic",
    "draining": "finishes its requests",
    "standby": "warm standby",
    "stopping": "stopping",
}
SOURCE = {"repository": "repository", "branch": "app_branch", "base_directory": "base_directory"}
"""What an app comes from → the fields of the form; its `branch` is the environment's own."""
TEXTS = ("install_command", "build_command", "start_command", "release_command", "public_folder", "health_path")
NUMBERS = ("health_seconds", "stop_seconds", "drain_seconds", "standby_seconds", "memory", "cpu", "tasks")


ChosenPeriod = Annotated[Period, QueryParameter(name="period")]


class ProcessView(msgspec.Struct, frozen=True):
    """One process of the live release, and how its instances do."""

    name: str
    command: str
    wanted: int
    restarts: int
    tone: str
    sign: str
    words: str


@get(ENVIRONMENT, policy=Policy.VIEWER)
async def show_environment(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    frames: Frames,
    deployments: Deployments,
    releases: Releases,
    routing: Routing,
    processes: Processes,
    certificates: Certificates,
    metrics: Metrics,
    reconciler: Reconciler,
    period: ChosenPeriod = Period.HOUR,
) -> Template:
    frame, newest, kept, slots, crashes, running = await asyncio.gather(
        frames.of(caller, app, environment),
        deployments.list_deployments(app, environment, None, SHOWN_DEPLOYMENTS),
        releases.list_releases(environment),
        routing.list_slots(environment),
        processes.list_crashes(environment, None, SHOWN_CRASHES),
        _processes(processes, app, environment),
    )
    going = frame.going
    held = {slot.number: slot for slot in slots}
    return draw(
        request,
        "overview",
        **frame.context(
            "",
            steps=steps_of(going, await deployments.list_phases(going)) if going else [],
            deployments=newest,
            live_deployment=_made(newest, frame),
            releases=kept,
            slots=[(number, held.get(number)) for number in SLOTS],
            slot_words=SLOT_WORDS,
            crashes=crashes,
            processes=running,
            certificate=await certificates.find(app, environment),
            drift=len(reconciler.findings_of(environment.id)),
            looked_at=reconciler.looked_at,
            here=request.url.path if period is Period.HOUR else f"{request.url.path}?period={period.value}",
            **await _figures(metrics, app, environment, period),
        ),
    )


@get(ENVIRONMENT + "/figures", policy=Policy.VIEWER)
async def show_figures(
    app: App, environment: Environment, metrics: Metrics, period: ChosenPeriod = Period.HOUR
) -> Template:
    """The charts of the overview alone: what is fetched again when there are new figures."""
    context = await _figures(metrics, app, environment, period)
    return Template("pages/figures.html", context=context, media_type=MediaType.HTML)


async def _figures(metrics: Metrics, app: App, environment: Environment, period: Period) -> dict[str, Any]:
    figures = await metrics.of_environment(environment, now() - period.length, None, period.step)
    return {
        "charts": charts_of_environment(figures, period),
        "periods": list(Period),
        "period": period,
        "address": f"/apps/{app.name}/{environment.name}/figures",
    }


def _made(newest: list[Deployment], frame: Frame) -> Deployment | None:
    """The deployment that made the live release, or another of its commit, where it is among the newest."""
    if frame.live is None:
        return None
    known = [*newest, frame.serving] if frame.serving else newest
    same = [one for one in known if one.commit == frame.live.commit and one.commit_subject]
    return next((one for one in same if one.release_number == frame.live.number), same[0] if same else None)


async def _processes(processes: Processes, app: App, environment: Environment) -> list[ProcessView] | None:
    """None where the host agent cannot be asked: the rest of the page is shown all the same."""
    try:
        return [_process(one) for one in await processes.list_processes(app, environment)]
    except (Unavailable, HostRefused):
        return None


def _process(process: ProcessState) -> ProcessView:
    active = sum(one.active == "active" for one in process.instances)
    if not process.wanted:
        tone, sign, words = "", "circle-slash", "stopped"
    elif active >= process.wanted:
        tone, sign, words = "good", "check-circle", f"{active} running"
    elif any(one.active == "failed" for one in process.instances):
        tone, sign, words = "bad", "x-circle", f"{active} of {process.wanted} running"
    else:
        tone, sign, words = "busy", "hourglass", f"{active} of {process.wanted} running"
    restarts = sum(one.restarts for one in process.instances)
    return ProcessView(process.name, process.command, process.wanted, restarts, tone, sign, words)


@post(ENVIRONMENT + "/scale", policy=Policy.MEMBER, status_code=303)
async def scale(
    request: AnyRequest, app: App, environment: Environment, actor: Actor, processes: Processes
) -> Redirect:
    """Set how many instances run of each process."""
    wanted = (await read_form(request)).beginning_with("scale:")
    await processes.scale(actor, app, environment, {name: _count(name, count) for name, count in wanted.items()})
    return go(f"/apps/{app.name}/{environment.name}", Notice.SCALED)


def _count(process: str, text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4:
        raise Invalid(f"How many instances of {process[:60]}? It must be a number.", field=process)
    return int(text)


@post(ENVIRONMENT + "/certificate", policy=Policy.MEMBER, status_code=303)
async def renew_certificate(app: App, environment: Environment, actor: Actor, certificates: Certificates) -> Redirect:
    """Have the certificate of the environment's name obtained anew, now."""
    await certificates.renew(actor, app, environment)
    return go(f"/apps/{app.name}/{environment.name}", Notice.OBTAINING)


@get("/apps/{app_name:str}/environments/new", policy=Policy.MEMBER)
async def show_new_environment(request: AnyRequest, app: App) -> Template:
    return _draw_new(request, app, Form({}), {})


@post("/apps/{app_name:str}/environments/new", policy=Policy.MEMBER, status_code=303)
async def create_environment(request: AnyRequest, app: App, actor: Actor, apps: Apps) -> Any:
    form = await read_form(request)
    try:
        made = await apps.create_environment(actor, app, form.text("name").strip(), form.text("branch").strip())
    except SlipwayError as error:
        return _draw_new(request, app, form, errors_by_field(error, {"name", "branch"}), status=error.status)
    return go(f"/apps/{app.name}/{made.name}", Notice.ENVIRONMENT_CREATED)


def _draw_new(request: AnyRequest, app: App, form: Form, errors: dict[str, str], status: int = 200) -> Template:
    values = {name: form.text(name) for name in ("name", "branch")}
    return draw(request, "new_environment", status=status, app=app, values=values, errors=errors)


@post(ENVIRONMENT + "/delete", policy=Policy.OWNER, status_code=303)
async def delete_environment(
    request: AnyRequest, app: App, environment: Environment, actor: Actor, apps: Apps
) -> Redirect:
    """Begin to delete the environment; its name has to be typed."""
    if (await read_form(request)).text("typed").strip() != environment.name:
        raise Invalid(f"Nothing was deleted: what was typed is not the environment's name, {environment.name}.")
    await apps.delete_environment(actor, app, environment)
    return go(f"/apps/{app.name}/{PRODUCTION}", Notice.DELETING)


@get(ENVIRONMENT + "/settings", policy=Policy.VIEWER)
async def show_settings(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    frames: Frames,
    releases: Releases,
    disks: Disks,
    reconciler: Reconciler,
) -> Template:
    frame, values = await frames.of(caller, app, environment), _stored(app, environment)
    drift = reconciler.findings_of(environment.id)
    return await _draw_settings(request, frame, releases, disks, values, {}, drift)


def _stored(app: App, environment: Environment) -> dict[str, Any]:
    values = msgspec.structs.asdict(environment.settings) | {"branch": environment.branch}
    return values | {field: getattr(app, name) for name, field in SOURCE.items()}


@post(ENVIRONMENT + "/disk", policy=Policy.OWNER, status_code=303)
async def set_budget(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    actor: Actor,
    frames: Frames,
    releases: Releases,
    disks: Disks,
) -> Any:
    """How much of the disk the app may take; empty: what the settings give every app."""
    typed = (await read_form(request)).text("budget").strip()
    try:
        if typed and not (typed.isascii() and typed.isdigit() and len(typed) < 12):
            raise Invalid("A budget is a whole number of MiB.", field="budget")
        await disks.set_budget(actor, app, int(typed) if typed else None)
    except Invalid as error:
        frame, values = await frames.of(caller, app, environment), _stored(app, environment)
        errors = errors_by_field(error, {"budget"})
        return await _draw_settings(request, frame, releases, disks, values, errors, status=error.status)
    return go(f"/apps/{app.name}/{environment.name}/settings", Notice.SAVED)


@post(ENVIRONMENT + "/settings", policy=Policy.MEMBER, status_code=303)
async def change_settings(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    actor: Actor,
    frames: Frames,
    settings: Settings,
    apps: Apps,
    deployments: Deployments,
    releases: Releases,
    disks: Disks,
) -> Any:
    """Replace the settings, and where it comes from as far as that was edited; all that is wrong is told at once."""
    form = await read_form(request)
    values = _settings_values(form)
    source = {name: _typed(form, field, getattr(app, name)) for name, field in SOURCE.items()}
    branch = _typed(form, "branch", environment.branch or "") or None
    errors = wrong_settings(values) | _wrong_branches(source, branch, settings)
    if not errors:
        try:
            changed = msgspec.convert(values, EnvironmentSettings)
            moved = await _change_source(actor, app, environment, source, branch, apps)
            before = await deployments.latest([environment.id])
            await apps.change_settings(actor, app, environment, changed)
            after = await deployments.latest([environment.id])
            return go(f"/apps/{app.name}/{environment.name}/settings", _saved(moved, releasing=after != before))
        except SlipwayError as error:
            errors = errors_by_field(error, {*TEXTS, *NUMBERS})
    frame = await frames.of(caller, app, environment)
    values |= {"branch": branch} | {field: source[name] for name, field in SOURCE.items()}
    return await _draw_settings(request, frame, releases, disks, values, errors, status=422)


def _typed(form: Form, field: str, stored: str) -> str:
    """What was typed; what is stored where the field still holds what it was drawn with.

    The source is shared by all environments: an old page must not put back what somebody else has changed since.
    """
    typed = form.text(field).strip()
    return stored if fingerprint(typed) == form.text(f"was:{field}") else typed


def _wrong_branches(source: dict[str, str], branch: str | None, settings: Settings) -> dict[str, str]:
    """What is wrong with the source, by the form's fields."""
    wrong = {SOURCE[name]: message for name, message in wrong_source(**source, mode=settings.mode).items()}
    if branch is not None:
        try:
            check_branch(branch)
        except Invalid as error:
            wrong["branch"] = error.message
    return wrong


async def _change_source(
    actor: Actor, app: App, environment: Environment, source: dict[str, str], branch: str | None, apps: Apps
) -> bool:
    """→ whether there was something to change."""
    moved = source != {name: getattr(app, name) for name in SOURCE}
    if moved:
        await apps.change(actor, app, **source)
    if branch != environment.branch:
        await apps.change_branch(actor, app, environment, branch)
        return True
    return moved


def _saved(moved: bool, *, releasing: bool) -> Notice:
    if releasing:
        return Notice.RELEASING_AND_MOVED if moved else Notice.RELEASING
    return Notice.MOVED if moved else Notice.SAVED


def _settings_values(form: Form) -> dict[str, Any]:
    values: dict[str, Any] = {name: form.text(name).strip() or None for name in TEXTS}
    for name in NUMBERS:
        text = form.text(name).strip()
        # What is no number goes on as text, so that it is refused together with everything else that is wrong.
        values[name] = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else text
    return values | {"stop_then_start": bool(form.text("stop_then_start"))}


async def _draw_settings(
    request: AnyRequest,
    frame: Frame,
    releases: Releases,
    disks: Disks,
    values: dict[str, Any],
    errors: dict[str, str],
    drift: Sequence[Finding] = (),
    status: int = 200,
) -> Template:
    newer = await releases.newer(frame.environment, frame.live) if frame.live and not frame.going else None
    context = frame.context(
        "/settings",
        values=values,
        errors=errors,
        newer=newer.settings if newer else [],
        drift=drift,
        usage=await disks.usage_of(frame.app),
        file_systems=disks.file_systems(),
    )
    return draw(request, "settings", status=status, **context)


HANDLERS = [
    show_environment,
    show_figures,
    scale,
    renew_certificate,
    show_new_environment,
    create_environment,
    delete_environment,
    show_settings,
    change_settings,
    set_budget,
]
