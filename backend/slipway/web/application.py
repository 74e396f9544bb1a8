"""Litestar, put together: every route behind the gate, every error a problem, every answer with its headers."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Request, Router
from litestar.di import Provide
from litestar.exceptions import LitestarDeprecationWarning
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme, Server
from litestar.plugins.base import PluginProtocol
from litestar.template import TemplateConfig
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from slipway import __version__
from slipway.db import Database
from slipway.settings import Settings
from slipway.web.api_docs import DocsPage, SchemaFile, docs_style, openapi_json
from slipway.web.callers import Caller, Credentials
from slipway.web.context import get_caller
from slipway.web.headers import Frontier
from slipway.web.idempotency import Idempotency
from slipway.web.policies import FindApp, Gate, Policy, check_declared
from slipway.web.problems import EXCEPTION_HANDLERS
from slipway.web.templates import create_engine

MAX_BODY = 1_000_000
"""Bytes of a request; the route that takes variables allows itself more."""


class Application:
    """The ASGI application. `litestar` is inside, for those who list its routes."""

    def __init__(self, litestar: Litestar, settings: Settings, promise_seconds: Callable[[], int]) -> None:
        self.litestar = litestar
        self._frontier = Frontier(litestar, settings, promise_seconds)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._frontier(scope, receive, send)


def create(
    *,
    settings: Settings,
    db: Database,
    credentials: Credentials,
    find_app: FindApp,
    handlers: Sequence[ControllerRouterHandler],
    services: Mapping[str, Any],
    promise_seconds: Callable[[], int] = lambda: 0,
    dependencies: Mapping[str, Callable[..., Any]] | None = None,
    plugins: Sequence[PluginProtocol] = (),
    lifespan: Sequence[Any] = (),
) -> Application:
    """Make the application.

    `services` are objects that handlers get by parameter name; `dependencies` are functions whose results they get
    (`caller` is always there); `promise_seconds` says for how long browsers may insist on TLS.
    Raises UndeclaredPolicy, naming the routes, if one does not say who may use it.
    """
    idempotency = Idempotency(db)
    provided = {name: Provide(_giving(service), sync_to_thread=False) for name, service in services.items()}
    for name, function in (dependencies or {}).items():
        provided[name] = Provide(function)
    provided["caller"] = Provide(_provide_caller, sync_to_thread=False)
    with warnings.catch_warnings():
        # Handlers get services and parts of the path by name; Litestar 3 will want every one of them marked.
        inferred = "(?s).*(Inferred dependency field|inferred style)"
        warnings.filterwarnings("ignore", inferred, LitestarDeprecationWarning)
        litestar = Litestar(
            route_handlers=[*handlers, openapi_json],
            guards=[services["streams"].refuse_early, Gate(settings, credentials, find_app)],
            dependencies=provided,
            exception_handlers=EXCEPTION_HANDLERS,
            before_request=idempotency.before_request,
            before_send=[idempotency.before_send],
            template_config=TemplateConfig(instance=create_engine(settings)),
            openapi_config=_openapi(settings),
            plugins=list(plugins),
            lifespan=list(lifespan),
            request_max_body_size=MAX_BODY,
            logging_config=None,
            debug=False,
        )
    check_declared(litestar)
    return Application(litestar, settings, promise_seconds)


def _provide_caller(request: Request[Any, Any, Any]) -> Caller:
    return get_caller(request)


def _giving(service: Any) -> Callable[[], Any]:
    def give() -> Any:
        return service

    return give


def _openapi(settings: Settings) -> OpenAPIConfig:
    return OpenAPIConfig(
        use_handler_docstrings=True,
        title="Slipway",
        version=__version__,
        description="Everything that the pages can do. Errors are RFC 9457 problem details.",
        servers=[Server(url=settings.panel_url)],
        components=Components(
            security_schemes={
                "token": SecurityScheme(type="http", scheme="bearer", description="An API token, `slw_…`."),
            }
        ),
        security=[{"token": []}],
        render_plugins=[DocsPage(), SchemaFile()],
        openapi_router=Router(
            "/api/docs", route_handlers=[docs_style], opt={"policy": Policy.PUBLIC}, include_in_schema=False
        ),
    )
