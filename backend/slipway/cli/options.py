"""Options that many commands share."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])


def as_json(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def environment(command: F) -> F:
    return click.option(
        "-e", "--environment", default="production", show_default=True, metavar="NAME", help="Which environment."
    )(command)


def limit(command: F) -> F:
    return click.option("--limit", type=click.IntRange(1, 10_000), default=20, show_default=True)(command)
