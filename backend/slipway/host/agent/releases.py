"""Launcher files: the frozen commands and variables of a release, the only clear copy of its secrets."""

import hashlib
import re

import msgspec

from slipway.errors import Invalid
from slipway.host.agent import files, trash
from slipway.host.agent.box import Box
from slipway.host.protocol import DeleteRelease, Done, PutRelease
from slipway.plan import MAX_ENVIRONMENT_BYTES, VARIABLE_NAME, check_command, size_of_variables, validate

PROCESS = re.compile(r"[a-z][a-z0-9_-]{0,30}")
MAX_VALUE_BYTES = 131_072
"""Linux takes 128 KiB for one variable."""


class LaunchFile(msgspec.Struct, frozen=True):
    """What `slipway.host.launcher` reads."""

    directory: str
    data: str
    processes: dict[str, str]
    variables: dict[str, str]
    digest: str = ""
    """Of the rest: tells whether somebody changed it."""

    def signed(self) -> "LaunchFile":
        plain = msgspec.json.encode(msgspec.structs.replace(self, digest=""))
        return msgspec.structs.replace(self, digest=hashlib.sha256(plain).hexdigest())


def is_own(content: bytes) -> bool:
    """Whether a launcher file is as Slipway wrote it."""
    try:
        launch = msgspec.json.decode(content, type=LaunchFile)
    except msgspec.MsgspecError:
        return False
    return launch == launch.signed()


async def put(box: Box, verb: PutRelease) -> Done:
    trash.check_built_for(box, verb.environment, verb.build)
    plan = validate(verb.plan, box.paths.builds / str(verb.build))
    for name, command in verb.processes.items():
        if not PROCESS.fullmatch(name):
            raise Invalid(f"{name[:40]!r} cannot be the name of a process", field="processes")
        check_command(command, name)
    check_variables(verb.variables)
    environment = box.state.fence(verb.environment, verb.generation)
    launch = LaunchFile(
        directory=plan.directory,
        data=str(box.paths.data / str(verb.environment)),
        processes=verb.processes,
        variables=plan.variables | verb.variables,
    )
    file = box.units.launch_file(verb.environment, verb.release)
    files.write(file, msgspec.json.encode(launch.signed()), mode=0o640, group=box.run_group(environment))
    return Done()


async def delete(box: Box, verb: DeleteRelease) -> Done:
    files.remove(box.units.launch_file(verb.environment, verb.release))
    return Done()


def check_variables(variables: dict[str, str]) -> None:
    """Refuse what no process could be started with. Says names, never values."""
    for name, value in variables.items():
        if not VARIABLE_NAME.fullmatch(name):
            raise Invalid(f"{name[:40]!r} cannot be a variable's name: letters, digits and _ only", field="variables")
        size = len(name) + len(value.encode(errors="surrogatepass"))
        if "\0" in value or size > MAX_VALUE_BYTES:
            raise Invalid(f"the value of {name} holds a NUL or is larger than 128 KiB", field="variables")
    if size_of_variables(variables) > MAX_ENVIRONMENT_BYTES:
        raise Invalid(
            f"all variables together are larger than {MAX_ENVIRONMENT_BYTES:,} bytes, which is more than Linux starts "
            "a process with",
            field="variables",
        )
