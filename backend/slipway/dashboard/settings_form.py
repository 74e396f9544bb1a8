"""What is wrong with settings that were typed, in plain words: the types know the bounds, people do not know types."""

from collections.abc import Callable
from typing import Any

import msgspec

from slipway.apps.models import EnvironmentSettings
from slipway.errors import Invalid
from slipway.repository import check_base_directory, check_branch, check_repository
from slipway.settings import Mode
from slipway.web.fields import wrong_fields

HEALTH_PATH = "A path that must begin with / and hold no spaces; plain ASCII, at most 1024 characters."


def wrong_settings(values: dict[str, Any]) -> dict[str, str]:
    """Each field that cannot be accepted → what it must be."""
    rules = msgspec.inspect.type_info(EnvironmentSettings)
    assert isinstance(rules, msgspec.inspect.StructType), "the settings are a Struct"
    kinds = {field.encode_name: field.type for field in rules.fields}
    wrong = wrong_fields(msgspec.json.encode(values), EnvironmentSettings)
    return {one.field: _rule(one.field, kinds[one.field]) if one.field in kinds else one.message for one in wrong}


def wrong_source(repository: str, branch: str, base_directory: str, mode: Mode) -> dict[str, str]:
    """What is wrong with where an app comes from, by field."""
    checks: dict[str, Callable[[], str]] = {
        "repository": lambda: check_repository(repository, mode),
        "branch": lambda: check_branch(branch),
        "base_directory": lambda: check_base_directory(base_directory),
    }
    wrong = {}
    for field, check in checks.items():
        try:
            check()
        except Invalid as error:
            wrong[field] = error.message
    return wrong


def _rule(field: str, kind: msgspec.inspect.Type) -> str:
    if field == "health_path":
        return HEALTH_PATH
    if isinstance(kind, msgspec.inspect.IntType):
        return f"Must be a whole number from {kind.ge} to {kind.le}."
    if isinstance(kind, msgspec.inspect.UnionType):
        return _rule(field, next(one for one in kind.types if not isinstance(one, msgspec.inspect.NoneType)))
    if isinstance(kind, msgspec.inspect.StrType):
        return f"Must be text of at most {kind.max_length} characters."
    return "Cannot be this."
