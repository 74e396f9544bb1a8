"""The Procfile: a line a process, `name: command`."""

from slipway.builds.detect.tree import CannotBuild
from slipway.errors import Invalid
from slipway.plan import MAX_PROCESSES, PROCESS_NAME, check_command

MAX_BYTES = 64 * 1024
RELEASE = "release"
"""Not a process: what runs once before a release starts."""


def parse(text: str) -> dict[str, str]:
    """Name → command line. Empty lines and lines that begin with # say nothing. Raises CannotBuild."""
    processes: dict[str, str] = {}
    for number, line in enumerate(text.replace("\r\n", "\n").split("\n"), start=1):
        stripped = line.strip()
        if not stripped or stripped.startswith("#"):
            continue
        name, command = _parse_line(stripped, number)
        if name in processes:
            raise CannotBuild(f"Procfile, line {number}: {name} is there twice. Keep one of the lines.")
        processes[name] = command
    if len(processes) > MAX_PROCESSES:
        raise CannotBuild(f"The Procfile has {len(processes)} processes; at most {MAX_PROCESSES} are possible.")
    return processes


def _parse_line(line: str, number: int) -> tuple[str, str]:
    name, colon, command = line.partition(":")
    if not colon:
        raise CannotBuild(f"Procfile, line {number}: this is not `name: command`, as in `web: python3 server.py`.")
    name = name.strip()
    if not PROCESS_NAME.fullmatch(name):
        raise CannotBuild(
            f"Procfile, line {number}: {name[:40]!r} cannot be the name of a process. "
            "Begin with a-z, go on with a-z, 0-9, - or _, 31 characters at most."
        )
    try:
        return name, check_command(command.strip())
    except Invalid as error:
        raise CannotBuild(f"Procfile, line {number}: {error.message}") from error
