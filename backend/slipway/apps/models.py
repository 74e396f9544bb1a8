"""Apps, their environments and variables."""

import re
from datetime import datetime
from typing import Annotated

import msgspec

from slipway.errors import Invalid
from slipway.plan import MAX_ENVIRONMENT_BYTES

PRODUCTION = "production"
MAX_VARIABLES = 500
MAX_VALUE_BYTES = 32 * 1024
MAX_VARIABLES_BYTES = MAX_ENVIRONMENT_BYTES - 4096
"""Of all of an environment's, names and values. The rest is for those that Slipway adds to a release's: numbers, names
and an address."""
_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}\Z")
_RESERVED = ("SLIPWAY_", "LD_")
_RESERVED_KEYS = frozenset({"PORT", "BASH_ENV", "ENV", "IFS"})


class App(msgspec.Struct, frozen=True):
    """Something deployable, from a repository and a base directory in it."""

    id: int
    team_id: int
    name: str
    repository: str
    branch: str
    base_directory: str
    created_at: datetime
    deleting_at: datetime | None


Seconds = Annotated[int, msgspec.Meta(ge=0, le=86400)]
OptionalCommand = Annotated[str, msgspec.Meta(max_length=4096)] | None
HealthPath = Annotated[
    str,
    msgspec.Meta(
        pattern=r"\A/[!-~]{0,1023}\Z",
        description="Must begin with / and hold no spaces; plain ASCII, at most 1024 characters.",
    ),
]


class EnvironmentSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an environment is built, checked, switched and limited. None: found out from the repository."""

    install_command: OptionalCommand = None
    build_command: OptionalCommand = None
    start_command: OptionalCommand = None
    release_command: OptionalCommand = None
    public_folder: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    health_path: HealthPath | None = None
    health_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 60
    """How long a new release may take to pass its check."""
    stop_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    """Between SIGTERM and SIGKILL."""
    drain_seconds: Seconds = 30
    """How long the old slot may finish its requests."""
    standby_seconds: Seconds = 3600
    """How long the old release is kept warm for an instant rollback."""
    stop_then_start: bool = False
    """For apps of which two must never run at once: the old one is stopped before the new one starts."""
    memory: Annotated[int, msgspec.Meta(ge=16, le=1_048_576)] = 512
    """MiB, of each instance."""
    cpu: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    """Percent of one core, of each instance; 0: no limit."""
    tasks: Annotated[int, msgspec.Meta(ge=4, le=65536)] = 256


class Environment(msgspec.Struct, frozen=True):
    """Production, or another with a branch of its own."""

    id: int
    app_id: int
    name: str
    branch: str | None
    place: int
    settings: EnvironmentSettings
    scale: dict[str, int]
    """Instances of each process where it is not 1; 0 stops it."""
    generation: int
    created_at: datetime
    deleting_at: datetime | None


class Variable(msgspec.Struct, frozen=True):
    """A variable as it may be shown: `value` is None for a secret unless it was asked for by name."""

    key: str
    value: str | None
    secret: bool
    updated_at: datetime


def check_key(key: str) -> str:
    """Check a variable's key: letters, digits and underscores, none of those that Slipway sets itself."""
    if not _KEY.match(key):
        raise Invalid(f"{key[:128]!r} cannot be a variable's key: {_broken_rule(key)}.", field="key")
    if key.startswith(_RESERVED) or key in _RESERVED_KEYS:
        raise Invalid(f"{key} is set by Slipway or changes how programs are started; choose another key.", field="key")
    return key


def _broken_rule(key: str) -> str:
    if not re.match("[A-Za-z_]", key):
        return "it must begin with a letter or _"
    if len(key) > 128:
        return "it may be at most 128 characters long"
    return "it may hold letters, digits and _ only"


def check_value(key: str, value: str) -> str:
    """Check a variable's value: UTF-8 text of at most 32 KiB without NUL. New lines are fine."""
    if "\0" in value:
        raise Invalid(f"The value of {key} holds a NUL character; no process can be given that.", field=key)
    try:
        encoded = value.encode()
    except UnicodeEncodeError as error:
        raise Invalid(f"The value of {key} is not valid text.", field=key) from error
    if len(encoded) > MAX_VALUE_BYTES:
        raise Invalid(f"The value of {key} is longer than {MAX_VALUE_BYTES} bytes.", field=key)
    return value
