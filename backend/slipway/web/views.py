"""What pages have in common: drawing them, reading their forms, saying afterwards what was done."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from litestar import MediaType, Request
from litestar.datastructures import Cookie
from litestar.response import Redirect, Template

from slipway.errors import Invalid, SlipwayError
from slipway.web import flash

AnyRequest = Request[Any, Any, Any]
MAX_FIELDS = 4000
_NOTICE_COOKIE = "slipway-notice"


class Notice(StrEnum):
    """What was done, told once on the page after it. The cookie between the two holds only the member's name."""

    SIGNED_OUT = "You are signed out."
    SAVED = "Saved."
    RELEASING = "Saved. A new release with it is on its way."
    MOVED = "Saved. The next deployment comes from there."
    RELEASING_AND_MOVED = (
        "Saved. A new release with the settings is on its way; the source counts from the next deployment on."
    )
    NOTHING_CHANGED = "Nothing was changed."
    CANCELLING = "It is being cancelled. What is live goes on."
    SCALED = "The numbers of instances are set."
    ENVIRONMENT_CREATED = "The environment is there. Deploy to it when you are ready."
    APP_CREATED = "The app is there. Deploy it when you are ready."
    OBTAINING = "A certificate is being obtained."
    DELETING = "It is being deleted."
    TOKEN_DELETED = "The token is deleted."  # noqa: S105 - a sentence
    SECURITY_UPDATES_ON = "Security updates are installed by themselves from now on."
    SECURITY_UPDATES_OFF = "Slipway has no security updates installed any more."
    PASSWORD_CHANGED = "Your password is changed; you are signed out everywhere else."  # noqa: S105 - a sentence


class Form:
    """The fields of a posted form, as text with plain new lines."""

    def __init__(self, fields: Mapping[str, list[str]]) -> None:
        self._fields = fields

    def text(self, name: str) -> str:
        """The field's first value, empty where there is none."""
        values = self._fields.get(name)
        return values[0] if values else ""

    def texts(self, name: str) -> list[str]:
        return list(self._fields.get(name, ()))

    def beginning_with(self, prefix: str) -> dict[str, str]:
        """The fields whose names begin so, by the rest of their names."""
        matching = ((name, values) for name, values in self._fields.items() if name.startswith(prefix))
        return {name.removeprefix(prefix): values[0] for name, values in matching}


async def read_form(request: AnyRequest) -> Form:
    """Raises Invalid for a form that none of our pages sends."""
    fields: dict[str, list[str]] = {}
    posted = (await request.form()).multi_items()
    for number, (name, value) in enumerate(posted):
        if number >= MAX_FIELDS or not isinstance(value, str):
            raise Invalid("The form holds more than Slipway takes, or a file.")
        fields.setdefault(name, []).append(value.replace("\r\n", "\n"))
    return Form(fields)


def draw(request: AnyRequest, page: str, *, status: int = 200, **context: Any) -> Template:
    """The page `ui/pages/<page>.html`; with the notice or the refusal that a redirect left, once."""
    noticed = request.cookies.get(_NOTICE_COOKIE)
    notice = Notice.__members__.get(noticed or "")
    forget = [Cookie(key=_NOTICE_COOKIE, value="", path="/", max_age=0)] if noticed else []
    return Template(
        f"pages/{page}.html",
        context={"notice": notice.value if notice else "", "refusal": flash.told(request), "here": request.url.path}
        | context,
        status_code=status,
        media_type=MediaType.HTML,
        cookies=[*forget, *flash.forget(request)],
    )


def go(path: str, notice: Notice | None = None, cookies: list[Cookie] | None = None) -> Redirect:
    """On to another page after something was done (303: by GET)."""
    told = (
        [Cookie(key=_NOTICE_COOKIE, value=notice.name, path="/", max_age=60, httponly=True, samesite="lax")]
        if notice
        else []
    )
    return Redirect(path, status_code=303, cookies=[*told, *(cookies or [])])


def errors_by_field(error: SlipwayError, known: set[str]) -> dict[str, str]:
    """Where to write an error on a form: at its field, or above all where it has none on this page."""
    return {error.field if error.field in known else "": error.message}
