"""The API's documentation as one plain page, drawn from the schema; nothing is loaded from elsewhere."""

from html import escape
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin

from slipway import errors
from slipway.web.policies import Policy
from slipway.web.problems import MEDIA_TYPE, Problem
from slipway.web.templates import UI_OF_THIS_CODE

METHODS = {"get", "post", "put", "patch", "delete"}


@get(
    "/api/openapi.json", policy=Policy.PUBLIC, include_in_schema=False, media_type=MediaType.JSON, sync_to_thread=False
)
def openapi_json(request: Request[Any, Any, Any]) -> bytes:
    """The schema, OpenAPI 3.1."""
    return OpenAPIRenderPlugin.render_json(request, with_problems(request.app.openapi_schema.to_schema()))


def with_problems(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with our own error answers instead of those that Litestar supposes."""
    (reference,), shapes = msgspec.json.schema_components([Problem], ref_template="#/components/schemas/{name}")
    problem = {"description": "A problem (RFC 9457).", "content": {MEDIA_TYPE: {"schema": reference}}}
    for item in schema["paths"].values():
        for method in METHODS & item.keys():
            answers = item[method]["responses"]
            answers.pop("400", None)
            answers["default"] = problem
    schema.setdefault("components", {}).setdefault("schemas", {}).update(shapes)
    return schema


class SchemaFile(JsonRenderPlugin):
    """The schema once more, beside the page."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return self.render_json(request, with_problems(openapi_schema))


@get("/style.css", sync_to_thread=True)
def docs_style() -> Response[bytes]:
    """The look of the documentation page."""
    return Response((UI_OF_THIS_CODE / "styles/api-docs.css").read_bytes(), media_type="text/css")


class DocsPage(OpenAPIRenderPlugin):
    """Every operation with its parameters, body and answers; then the shapes; then the errors."""

    def __init__(self) -> None:
        super().__init__(path="/")

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        operations = [
            _operation(method, path, item[method])
            for path, item in sorted(openapi_schema["paths"].items())
            for method in sorted(METHODS & item.keys())
        ]
        shapes = [
            _shape(name, shape)
            for name, shape in sorted(openapi_schema.get("components", {}).get("schemas", {}).items())
        ]
        return (
            "<!doctype html><html lang=en><meta charset=utf-8>"
            "<meta name=viewport content='width=device-width, initial-scale=1'>"
            "<title>Slipway's API</title><link rel=stylesheet href='/api/docs/style.css'>"
            f"<main><h1>Slipway's API</h1><p>{escape(openapi_schema['info']['description'])} "
            "Send a token as <code>Authorization: Bearer slw_…</code>. "
            "The same as <a href='/api/openapi.json'>OpenAPI 3.1</a>.</p>"
            f"<h2>Operations</h2>{''.join(operations)}<h2>Shapes</h2>{''.join(shapes)}"
            f"<h2>Problems</h2>{_problems()}</main></html>"
        ).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(one['name'])}</code></td><td>{escape(one['in'])}</td>"
        f"<td>{_type(one.get('schema', {}))}</td><td>{escape(one.get('description', ''))}</td></tr>"
        for one in operation.get("parameters", [])
    )
    body = "".join(
        f"<p>Body: {_type(content.get('schema', {}))}</p>"
        for content in operation.get("requestBody", {}).get("content", {}).values()
    )
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer.get('description', ''))} "
        + " ".join(_type(content.get("schema", {})) for content in answer.get("content", {}).values())
        for status, answer in operation.get("responses", {}).items()
        if status.startswith("2")
    )
    return (
        f"<section><h3><b class={method}>{method.upper()}</b> <code>{escape(path)}</code></h3>"
        f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
        + (f"<table>{rows}</table>" if rows else "")
        + body
        + (f"<ul>{answers}</ul>" if answers else "")
        + "</section>"
    )


def _shape(name: str, shape: dict[str, Any]) -> str:
    required = set(shape.get("required", []))
    rows = "".join(
        f"<tr><td><code>{escape(field)}</code></td><td>{_type(kind)}</td>"
        f"<td>{'required' if field in required else ''}</td></tr>"
        for field, kind in shape.get("properties", {}).items()
    )
    values = ", ".join(f"<code>{escape(str(value))}</code>" for value in shape.get("enum", []))
    return f"<section id='{escape(name)}'><h3>{escape(name)}</h3><table>{rows}</table><p>{values}</p></section>"


def _type(schema: dict[str, Any]) -> str:
    """A JSON schema in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    for several in ("oneOf", "anyOf"):
        if several in schema:
            return " or ".join(_type(one) for one in schema[several])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("type", "anything")
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))


def _problems() -> str:
    classes = [
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SlipwayError)
    ]
    rows = "".join(
        f"<tr id='problem-{kind.code}'><td><code>{kind.code}</code></td><td>{kind.status}</td>"
        f"<td>{escape(kind.__doc__ or '')}</td></tr>"
        for kind in sorted(classes, key=lambda kind: kind.code)
        if kind.status != 500
    )
    return f"<table>{rows}</table>"
