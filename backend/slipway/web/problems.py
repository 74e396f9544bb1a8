"""Errors as answers: RFC 9457 problem details under /api, a page elsewhere."""

import html
import re
import secrets
from http import HTTPStatus
from typing import Any
from urllib.parse import quote, urlsplit

import jinja2
import msgspec
import structlog
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Empty
from litestar.utils.scope.state import ScopeState

from slipway.errors import Busy, Invalid, NotFound, SlipwayError, TooManyRequests, Unauthenticated, Unavailable
from slipway.web import flash
from slipway.web.context import get_session
from slipway.web.csrf import NotOurPage
from slipway.web.fields import FieldError, wrong_fields

MEDIA_TYPE = "application/problem+json"
_PAGE = re.compile(r"/|(?:/[a-z0-9-]+)+")
log = structlog.get_logger("slipway.web")


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """RFC 9457. `code` is stable and for programs; `detail` is for people; `id` finds an internal error in the log."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    errors: list[FieldError] = []
    id: str | None = None


def problem(
    status: int, code: str, detail: str, errors: list[FieldError] | None = None, identifier: str | None = None
) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(f"/api/docs#problem-{code}", title, status, code, detail, errors or [], identifier)


def answer_slipway_error(request: Request[Any, Any, Any], error: SlipwayError) -> Response[Any]:
    if type(error).status == 500:
        return answer_unknown_error(request, error)
    if isinstance(error, Unauthenticated) and not _wants_json(request):
        return _to_sign_in(request)
    errors = [FieldError(error.field, error.message)] if error.field else []
    headers = {}
    if isinstance(error, TooManyRequests | Busy):
        headers["retry-after"] = str(max(1, round(error.retry_after)))
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = "Bearer"
    return answer(
        request,
        problem(error.status, error.code, error.message, errors),
        headers,
        back=not isinstance(error, NotOurPage),
    )


def answer_http_error(request: Request[Any, Any, Any], error: HTTPException) -> Response[Any]:
    """What Litestar refuses by itself: no such route, a method that is not there, a body that does not fit."""
    status = error.status_code
    if status >= 500:
        return answer_unknown_error(request, error)
    if status == 404:
        return answer(request, problem(404, NotFound.code, "There is nothing at this address."))
    if status == 413:
        return answer(
            request, problem(413, "too-large", "The request's body is larger than Slipway takes here."), back=False
        )
    if isinstance(error, ValidationException) or status == 400:
        errors = _field_errors(request, error)
        detail = (
            "; ".join(f"{wrong.field}: {wrong.message}" for wrong in errors) or "The request's body cannot be read."
        )
        return answer(request, problem(422 if errors else 400, Invalid.code, detail, errors))
    code = HTTPStatus(status).phrase.lower().replace(" ", "-")
    return answer(request, problem(status, code, error.detail or HTTPStatus(status).phrase), error.headers or {})


def answer_unknown_error(request: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """An error in Slipway: the log has it under an id, the answer has the id and nothing else of it."""
    identifier = secrets.token_hex(6)
    log.error("request failed", id=identifier, method=request.method, path=request.url.path, exc_info=error)
    detail = f"Something in Slipway went wrong. Its log has the details under {identifier}."
    return answer(request, problem(500, "internal", detail, identifier=identifier))


def answer_too_deep(request: Request[Any, Any, Any], error: RecursionError) -> Response[Any]:
    """msgspec's word for JSON that is nested thousands of levels deep."""
    if ScopeState.from_scope(request.scope).body is Empty:
        return answer_unknown_error(request, error)
    return answer(request, problem(400, Invalid.code, "The request's body is nested too deeply."))


EXCEPTION_HANDLERS: Any = {
    RecursionError: answer_too_deep,
    SlipwayError: answer_slipway_error,
    HTTPException: answer_http_error,
    Exception: answer_unknown_error,
}


def answer(
    request: Request[Any, Any, Any], what: Problem, headers: dict[str, str] | None = None, *, back: bool = True
) -> Response[Any]:
    """A page's button leads back to its page, drawn anew, which says why.

    Not `back` where what was typed was never looked at: it stands only in the page that the browser still has.
    """
    if _wants_json(request):
        body = msgspec.json.encode(what)
        return Response(body, status_code=what.status, media_type=MEDIA_TYPE, headers=headers)
    before, session = _page_before(request), get_session(request)
    if back and before and session and (what.status < 500 or what.status == Unavailable.status):
        told = flash.tell_next(session, what.detail)
        return Response(b"", status_code=303, headers={"location": before}, cookies=[told])
    return Response(_error_page(request, what), status_code=what.status, media_type=MediaType.HTML, headers=headers)


def _wants_json(request: Request[Any, Any, Any]) -> bool:
    return request.url.path == "/api" or request.url.path.startswith("/api/")


def _page_before(request: Request[Any, Any, Any]) -> str | None:
    """The page of ours whose button was pressed: what was refused is told there. Without its query, which may ask."""
    try:
        page = urlsplit(request.headers.get("referer", ""))
    except ValueError:
        return None
    ours = request.method == "POST" and page.netloc == request.headers.get("host") and _PAGE.fullmatch(page.path)
    return page.path if ours else None


def _to_sign_in(request: Request[Any, Any, Any]) -> Response[Any]:
    """A page that needs somebody: sign in first, then come back. htmx must be told to leave the page."""
    target = "/sign-in"
    if request.method == "GET" and request.url.path != "/" and "hx-request" not in request.headers:
        target += "?next=" + quote(request.url.path)
    if "hx-request" in request.headers:
        return Response(b"", status_code=401, headers={"hx-redirect": target})
    return Response(b"", status_code=303, headers={"location": target})


def _field_errors(request: Request[Any, Any, Any], error: HTTPException) -> list[FieldError]:
    data = request.route_handler.parsed_fn_signature.parameters.get("data")
    body = ScopeState.from_scope(request.scope).body
    if data is not None and body is not Empty and (wrong := wrong_fields(body, data.annotation)):
        return wrong
    extra = error.extra if isinstance(error.extra, list) else []
    return [
        FieldError(str(one.get("key", "body")), str(one.get("message", error.detail)))
        for one in extra
        if isinstance(one, dict)
    ]


def _error_page(request: Request[Any, Any, Any], what: Problem) -> str:
    """`pages/error.html` where it can be drawn; else, and when drawing is what fails, plain HTML."""
    engine = request.app.template_engine
    context = {"request": request, "problem": what, "status": what.status, "title": what.title, "message": what.detail}
    if engine is not None:
        try:
            return str(engine.get_template("pages/error.html").render(**context))
        except (jinja2.TemplateError, HTTPException, SlipwayError, LookupError, AttributeError, TypeError) as error:
            log.error("the error page cannot be drawn", exc_info=error)
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{what.status} {html.escape(what.title)}</title>"
        f"<h1>{html.escape(what.title)}</h1><p>{html.escape(what.detail)}</p><p><a href='/'>Slipway</a></p></html>"
    )
