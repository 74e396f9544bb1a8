"""The pages' template engine: escaping on, a missing variable is an error."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from litestar.plugins.jinja import JinjaTemplateEngine

from slipway import __version__
from slipway.settings import Settings
from slipway.web import presentation
from slipway.web.callers import Caller
from slipway.web.context import csrf_token, find_caller
from slipway.web.csrf import FIELD

UI_OF_THIS_CODE = Path(__file__).resolve().parents[3] / "ui"
"""`ui/` lies beside `backend/`, in a release and in a checkout."""


def create_engine(settings: Settings) -> JinjaTemplateEngine:
    """Templates may call `csrf_token()`, `csrf_field()` → the field's name, and `caller()` → Caller or None."""
    environment = Environment(
        loader=FileSystemLoader(UI_OF_THIS_CODE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals.update(slipway_version=__version__, panel_url=settings.panel_url)
    presentation.register(environment)
    engine = JinjaTemplateEngine.from_environment(environment)
    engine.register_template_callable("csrf_token", _csrf_token)
    engine.register_template_callable("csrf_field", _csrf_field)
    engine.register_template_callable("caller", _caller)
    return engine


def _csrf_token(context: Mapping[str, Any], /) -> str:
    return csrf_token(context["request"])


def _csrf_field(context: Mapping[str, Any], /) -> str:
    return FIELD


def _caller(context: Mapping[str, Any], /) -> Caller | None:
    return find_caller(context["request"])
