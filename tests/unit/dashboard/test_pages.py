"""Every page and form that is written is served."""

import importlib
import pkgutil

from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from slipway import dashboard
from slipway.dashboard.pages import PAGES


def name_of(handler: HTTPRouteHandler) -> str:
    return f"{handler.fn.__module__}.{handler.fn.__qualname__}"


def test_no_handler_of_the_pages_was_forgotten_in_the_list_of_its_module() -> None:
    routes = [route for route in PAGES.routes if isinstance(route, HTTPRoute)]
    served = {name_of(handler) for route in routes for handler in route.route_handlers}
    modules = [
        importlib.import_module(f"slipway.dashboard.{one.name}") for one in pkgutil.iter_modules(dashboard.__path__)
    ]
    written = {
        name_of(one)
        for module in modules
        for one in vars(module).values()
        if isinstance(one, HTTPRouteHandler) and one.fn.__module__ == module.__name__
    }
    assert len(written) > 30
    assert written - served == set()
