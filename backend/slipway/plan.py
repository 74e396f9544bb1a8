"""What a build found out, in the words that everything after it needs: how the app is made and how it is started.

The builder (a hostile place: it ran a user's commands) writes a Plan; `validate` is what stands between that file and
whoever acts on it. The order that the builder gets is here too.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

import msgspec

from slipway.errors import Invalid

PROCESS_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}", re.ASCII)
VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}", re.ASCII)

MAX_PROCESSES = 20
MAX_COMMAND_BYTES = 4096
MAX_PATH_BYTES = 1024
MAX_STEPS = 20
MAX_REASONS = 50
MAX_REASON_LENGTH = 1000
MAX_VARIABLES = 50
MAX_VALUE_BYTES = 8192

MAX_ENVIRONMENT_BYTES = 1_500_000
"""Of all variables that a process is started with, names and values. Linux takes about 2 MiB."""

END_OF_LOG = "\x1eslipway-end"
"""The last line a build writes: who reads the log knows by it that all is there."""

PLAN_FILE = "plan.json"
RESULT_FILE = "result.json"
LOG_LIMIT_EXIT = 3
"""The builder's exit status when the build wrote more log than it may."""

Stack = Literal["python", "node", "static", "procfile"]


class BuildOverrides(msgspec.Struct, frozen=True):
    """What a person set instead of what is detected. None or empty: as detected."""

    install_command: str | None = None
    build_command: str | None = None
    start_command: str | None = None
    release_command: str | None = None
    public_folder: str | None = None
    """Relative to the base directory; `.` is that itself."""

    def __post_init__(self) -> None:
        for field in ("install_command", "build_command", "start_command", "release_command"):
            command = getattr(self, field)
            if command:
                check_command(command, field)
        if self.public_folder:
            check_relative_path(self.public_folder, "public_folder")


class Step(msgspec.Struct, frozen=True):
    """One thing a build runs: Slipway's own as `argv`, a user's own as `command` under `sh -c`. One of them is set."""

    title: str
    argv: tuple[str, ...] | None = None
    command: str | None = None


class Plan(msgspec.Struct, frozen=True):
    stack: Stack
    framework: str | None
    reasons: tuple[str, ...]
    """Why it is built and started like this: sentences for the log and the page."""
    install: tuple[Step, ...]
    build: tuple[Step, ...]
    processes: dict[str, str]
    """Name → command line, run under `sh -c` in `directory` with `PORT` set for `web`."""
    release_command: str | None
    public_folder: str | None
    """Absolute; nginx serves it. Set for static sites, which have no `web`."""
    variables: dict[str, str]
    """For run time; the environment's own variables win over them."""
    directory: str
    """Absolute: the checkout, or the base directory in it."""
    health_path: str = "/"


class BuildOrder(msgspec.Struct, frozen=True):
    """What one run of the builder is to do. Written by root, read by the build user."""

    build_id: Annotated[int, msgspec.Meta(ge=1)]
    mirror: str
    """The bare repository; read-only, owned by another user."""
    commit: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
    folder: str
    """Where the build is made and will run. It exists and belongs to the build user."""
    cache: str
    """A folder of the environment that outlives builds."""
    base_directory: str = ""
    overrides: BuildOverrides = BuildOverrides()
    variables: dict[str, str] = msgspec.field(default_factory=dict)
    """The environment's, given to the install and build commands."""
    log_limit_bytes: Annotated[int, msgspec.Meta(ge=1)] = 10_000_000
    checkout_limit_bytes: Annotated[int, msgspec.Meta(ge=1)] = 8 * 2**30
    """What the commit's files may take on the disk."""

    def __repr__(self) -> str:
        return f"BuildOrder(build_id={self.build_id}, commit={self.commit!r}, …)"


class BuildResult(msgspec.Struct, frozen=True):
    """How a build ended. `reason` is one sentence that a person can act on."""

    ok: bool
    reason: str | None = None


def check_command(command: str, field: str | None = None) -> str:
    """Accept one line for `sh -c`. Raises Invalid."""
    if not command.strip():
        raise Invalid("The command is empty.", field=field)
    if len(_encoded(command, field)) > MAX_COMMAND_BYTES:
        raise Invalid(f"The command is longer than {MAX_COMMAND_BYTES} bytes; put it into a script file.", field=field)
    if any(character in command for character in "\0\n\r"):
        raise Invalid("The command holds a line break or a NUL; it must be one line.", field=field)
    return command


def check_relative_path(path: str, field: str | None = None) -> str:
    """Accept a path inside the repository, as text; "" is its root. Gives it without `.` parts and end slashes.

    Says nothing about links: whoever opens it must still not follow one out of the tree. Raises Invalid.
    """
    if len(_encoded(path, field)) > MAX_PATH_BYTES:
        raise Invalid(f"The path is longer than {MAX_PATH_BYTES} bytes.", field=field)
    if any(ord(character) < 32 or ord(character) == 127 for character in path):
        raise Invalid("The path holds a control character, such as a line break.", field=field)
    pure = PurePosixPath(path)
    if pure.is_absolute():
        raise Invalid(f"{path} is an absolute path; name a folder inside the repository.", field=field)
    if ".." in pure.parts:
        raise Invalid(f"{path} leads out of the repository with `..`; name a folder inside it.", field=field)
    if any(part.lower() == ".git" for part in pure.parts):
        raise Invalid("A folder named .git is never part of a checkout.", field=field)
    return "" if path in ("", ".") or pure == PurePosixPath(".") else str(pure)


def validate(plan: Plan, folder: str | os.PathLike[str]) -> Plan:
    """Accept a plan that a build in `folder` wrote; nothing in it is trusted. Gives it back. Raises Invalid.

    Paths are judged as text and must lie inside `folder`. Who opens them must still refuse to follow links.
    """
    _check_reasons(plan.reasons)
    _check_steps(plan.install + plan.build)
    _check_processes(plan.processes)
    if plan.release_command is not None:
        check_command(plan.release_command, "release_command")
    _check_variables(plan.variables)
    root = Path(folder)
    _check_inside(plan.directory, root, "directory")
    if plan.public_folder is not None:
        _check_inside(plan.public_folder, root, "public_folder")
    if not re.fullmatch(r"/[\x21-\x7e]{0,1023}", plan.health_path):
        raise Invalid("The health path must begin with / and hold no space.", field="health_path")
    if plan.framework is not None and not re.fullmatch(r"[A-Za-z0-9 .+-]{1,40}", plan.framework):
        raise Invalid("The build's plan names a framework in an unknown way.")
    return plan


def _check_reasons(reasons: tuple[str, ...]) -> None:
    if len(reasons) > MAX_REASONS or any(len(reason) > MAX_REASON_LENGTH for reason in reasons):
        raise Invalid("The build's plan gives too many or too long reasons.")
    for reason in reasons:
        _check_storable(reason)


def _check_storable(text: str) -> None:
    """PostgreSQL keeps no NUL, and JSON no lone surrogate."""
    if "\0" in _encoded(text, None).decode():
        raise Invalid("The build's plan holds a NUL.")


def _check_steps(steps: tuple[Step, ...]) -> None:
    if len(steps) > MAX_STEPS:
        raise Invalid(f"The build's plan has more than {MAX_STEPS} steps.")
    for step in steps:
        if (step.argv is None) == (step.command is None):
            raise Invalid("A step of the build's plan must have either an argv or a command.")
        size = len(step.title) + len(step.command or "") + sum(len(word) for word in step.argv or ())
        for text in (step.title, step.command or "", *(step.argv or ())):
            _check_storable(text)
        if size > 4 * MAX_COMMAND_BYTES:
            raise Invalid("A step of the build's plan is too long.")


def _check_processes(processes: Mapping[str, str]) -> None:
    if len(processes) > MAX_PROCESSES:
        raise Invalid(f"There are {len(processes)} processes; at most {MAX_PROCESSES} are possible.")
    for name, command in processes.items():
        if not PROCESS_NAME.fullmatch(name):
            raise Invalid(
                f"{name[:40]!r} cannot be the name of a process: begin with a-z, then a-z, 0-9, - or _, "
                "31 characters at most."
            )
        check_command(command, name)


def size_of_variables(variables: Mapping[str, str]) -> int:
    """Bytes of names and values together."""
    return sum(len(name.encode()) + len(value.encode(errors="surrogatepass")) for name, value in variables.items())


def _check_variables(variables: Mapping[str, str]) -> None:
    if len(variables) > MAX_VARIABLES:
        raise Invalid("The build's plan sets too many variables.")
    for name, value in variables.items():
        if not VARIABLE_NAME.fullmatch(name) or "\0" in value or len(_encoded(value, name)) > MAX_VALUE_BYTES:
            raise Invalid(f"The build's plan sets the variable {name[:40]!r} in a way that cannot be used.")


def _check_inside(path: str, root: Path, field: str) -> None:
    pure = PurePosixPath(path)
    fine = (
        len(_encoded(path, field)) <= MAX_PATH_BYTES + len(str(root))
        and ".." not in pure.parts
        and not any(ord(character) < 32 or ord(character) == 127 for character in path)
        and pure.is_relative_to(root)
    )
    if not fine:
        raise Invalid(f"The {field} of the build's plan is not inside the build.", field=field)


def _encoded(text: str, field: str | None) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise Invalid("The text is not valid UTF-8.", field=field) from error
