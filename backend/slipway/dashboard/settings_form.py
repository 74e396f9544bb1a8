"""What is wrong with settings that were typed."""

from collections.abc import Callable
from typing import Any

from slipway.apps.models import EnvironmentSettings
from slipway.errors import Invalid
from slipway.repository import check_base_directory, check_branch, check_repository
from slipway.settings import Mode
from slipway.web.fields import wrong_values


def wrong_settings(values: dict[str, Any]) -> dict[str, str]:
    """Each field that cannot be accepted → what it must be."""
    return {one.field: one.message for one in wrong_values(values, EnvironmentSettings)}


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
