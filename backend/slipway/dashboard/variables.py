"""The editor of an environment's variables: everything on the page is saved in one step."""

from typing import Annotated, Any

import msgspec
from litestar import get, post
from litestar.params import QueryParameter
from litestar.response import Template

from slipway.apps.models import MAX_VARIABLES, App, Environment, check_key
from slipway.apps.service import Apps
from slipway.dashboard.dotenv import parse_dotenv
from slipway.dashboard.environments import ENVIRONMENT
from slipway.dashboard.frame import Frame, Frames
from slipway.errors import Forbidden, Invalid, SlipwayError
from slipway.events.models import Actor
from slipway.plan import MAX_ENVIRONMENT_BYTES
from slipway.releases.service import Releases
from slipway.web.callers import Caller
from slipway.web.policies import Policy
from slipway.web.presentation import fingerprint
from slipway.web.views import AnyRequest, Form, Notice, draw, go, read_form

BODY = 7 * MAX_ENVIRONMENT_BYTES
"""Bytes: all variables that an environment may have, though a form writes a line break as six."""
NO_KEY = "A value stands here without a key."
EMPTY_LINES = 2
"""For new ones; a script adds more."""


class Revealed(msgspec.Struct, frozen=True):
    key: str = ""
    value: str = ""


class NewLine(msgspec.Struct, frozen=True):
    """A line for a new variable, as it was typed."""

    key: str = ""
    value: str = ""
    wrong: str = ""
    """What is wrong with the key."""


class Changes(msgspec.Struct, frozen=True):
    """What a posted form asks for."""

    changed: dict[str, str]
    added: dict[str, str]
    removed: list[str]
    added_are_secret: bool


@get(ENVIRONMENT + "/variables", policy=Policy.VIEWER)
async def show_variables(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    actor: Actor,
    frames: Frames,
    apps: Apps,
    releases: Releases,
    reveal: Annotated[str | None, QueryParameter(max_length=128)] = None,
) -> Template:
    """The variables; with `reveal`, one secret in clear, which is recorded."""
    frame = await frames.of(caller, app, environment)
    revealed = Revealed()
    if reveal is not None:
        if not frame.may.change:
            raise Forbidden("Your role in this app's team does not allow this. Ask an owner of the team.")
        revealed = Revealed(reveal, await apps.reveal_variable(actor, app, environment, reveal))
    return await _draw(request, frame, apps, releases, Form({"secret": ["yes"]}), {}, revealed)


@post(ENVIRONMENT + "/variables", policy=Policy.MEMBER, status_code=303, request_max_body_size=BODY)
async def change_variables(
    request: AnyRequest,
    caller: Caller,
    app: App,
    environment: Environment,
    actor: Actor,
    frames: Frames,
    apps: Apps,
    releases: Releases,
) -> Any:
    """Set, add and remove, as the form says. What is live gets one new release."""
    form = await read_form(request)
    frame = await frames.of(caller, app, environment)
    known = {variable.key for variable in await apps.list_variables(environment)}
    try:
        changes = read_changes(form, known)
        if not (changes.changed or changes.added or changes.removed):
            return go(f"/apps/{app.name}/{environment.name}/variables", Notice.NOTHING_CHANGED)
        await apps.change_variables(
            actor, app, environment, changes.changed | changes.added, changes.removed, None,
            new_are_secret=changes.added_are_secret,
        )  # fmt: skip
    except SlipwayError as error:
        errors = {error.field or "": error.message}
        return await _draw(request, frame, apps, releases, form, errors, Revealed(), error.status)
    notice = Notice.RELEASING if frame.live else Notice.SAVED
    return go(f"/apps/{app.name}/{environment.name}/variables", notice)


def read_changes(form: Form, known: set[str]) -> Changes:
    """What is to be done, given the keys that there are. Raises Invalid with the field.

    A secret's field is empty unless it is to change; the others are changed where they no longer hold what they were
    drawn with. A key among the new ones that is there already changes it.
    """
    drawn_with = form.beginning_with("was:")
    removed = [key for key in form.texts("remove") if key in known]
    changed = {
        key: value
        for key, value in form.beginning_with("value:").items()
        if key in known
        and key not in removed
        and (fingerprint(value) != drawn_with[key] if key in drawn_with else value != "")
    }
    added = parse_dotenv(form.text("pasted"))
    for key, value in zip(form.texts("new_key"), form.texts("new_value"), strict=False):
        key = key.strip()
        if key:
            added[key] = value
        elif value:
            raise Invalid(NO_KEY, field="key")
    if len(added) > MAX_VARIABLES:
        raise Invalid(f"An environment can have {MAX_VARIABLES} variables; this would be more.")
    changed |= {key: added.pop(key) for key in list(added) if key in known}
    removed = [key for key in removed if key not in changed]
    return Changes(changed, added, removed, bool(form.text("secret")))


def read_new_lines(form: Form) -> list[NewLine]:
    """The lines for new variables that are not empty, each with what is wrong with it."""
    lines = []
    for key, value in zip(form.texts("new_key"), form.texts("new_value"), strict=False):
        if key.strip() or value:
            lines.append(NewLine(key, value, _wrong_key(key.strip())))
    return lines


def _wrong_key(key: str) -> str:
    if not key:
        return NO_KEY
    try:
        check_key(key)
    except Invalid as error:
        return error.message
    return ""


def _placed(errors: dict[str, str], lines: list[NewLine], keys: set[str]) -> dict[str, str]:
    """Each message where it is to be read: at a variable, at the pasted text, or above all under the empty name.

    A wrong key is told at its own line; one that no line has was pasted.
    """
    placed = {}
    for field, message in errors.items():
        if field != "key":
            placed[field if field in keys | {"pasted"} else ""] = message
        elif not any(line.wrong for line in lines):
            placed["pasted"] = message
    return placed


async def _draw(
    request: AnyRequest,
    frame: Frame,
    apps: Apps,
    releases: Releases,
    form: Form,
    errors: dict[str, str],
    revealed: Revealed,
    status: int = 200,
) -> Template:
    variables = await apps.list_variables(frame.environment)
    added = read_new_lines(form)
    keys = {variable.key for variable in variables} | {line.key.strip() for line in added}
    newer = await releases.newer(frame.environment, frame.live) if frame.live and not frame.going else None
    typed = {f"value:{key}": value for key, value in form.beginning_with("value:").items()}
    return draw(
        request,
        "variables",
        status=status,
        **frame.context(
            "/variables",
            variables=variables,
            newer=newer.variables if newer else [],
            refused=bool(errors),
            errors=_placed(errors, added, keys),
            revealed=revealed,
            typed=typed | {"pasted": form.text("pasted")},
            removing=form.texts("remove"),
            added=[*added, *[NewLine()] * EMPTY_LINES],
            new_secret=bool(form.text("secret")),
        ),
    )


HANDLERS = [show_variables, change_variables]
