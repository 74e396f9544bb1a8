"""Starts one process of a release: the last step before a user's own command line.

    launcher.py LAUNCH_FILE PROCESS RANK PORT [BACK_OFF_FILE]

Runs as the environment's run user, inside the unit's sandbox, with the system's Python and nothing but its standard
library, because it stands in the way of every start. LAUNCH_FILE (written by the host agent, read by the run group
only) is `{"directory", "data", "processes": {name: command line}, "variables": {…}}`. BACK_OFF_FILE (written by the
exit reporter) says how long to wait before starting again: `{"wait": seconds, "crashes": n}`.

A user's command line runs under `sh -c`, as one argument, because Procfiles need a shell.
"""

import json
import os
import sys
import time

CANNOT_START = 78
"""EX_CONFIG of sysexits.h: what is wrong is Slipway's or the release's, not a passing fault."""


def main(argv: "list[str]") -> None:
    file, process, rank, port = argv[1:5]
    if len(argv) > 5:
        wait_after_crashes(argv[5])
    try:
        with open(file, encoding="utf-8") as opened:
            launch = json.load(opened)
        command = launch["processes"][process]
    except OSError as error:
        sys.exit(f"Slipway: cannot read what to start from {file}: {error.strerror}")
    except KeyError:
        sys.exit(f"Slipway: this release has no process named {process}")
    try:
        os.chdir(launch["directory"])
    except OSError as error:
        sys.exit(f"Slipway: cannot enter the release's folder {launch['directory']}: {error.strerror}")
    try:
        os.execve("/bin/sh", ["sh", "-c", command], environment(launch, process, rank, port))  # noqa: S606
    except (OSError, ValueError) as error:
        # E2BIG: the variables together are larger than the kernel takes (128 KiB each, about 2 MiB in all).
        print(f"Slipway: cannot start `{process}`: {error}. Are its variables too large?", flush=True)
        sys.exit(CANNOT_START)


def wait_after_crashes(file: str) -> None:
    """Hold back a process that keeps ending, and say so in its log."""
    try:
        with open(file, encoding="utf-8") as opened:
            note = json.load(opened)
        seconds, crashes = float(note["wait"]), int(note["crashes"])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if seconds > 0:
        print(
            f"Slipway: ended {crashes} times in short order, waiting {seconds:g} s before it starts again", flush=True
        )
        time.sleep(seconds)


def environment(launch: "dict", process: str, rank: str, port: str) -> "dict[str, str]":  # type: ignore[type-arg]
    """The variables a process sees: a small base, then the release's own, then what Slipway alone decides."""
    data = launch["data"]
    variables = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": data, "TMPDIR": "/tmp"}  # noqa: S108
    variables.update(launch["variables"])
    variables.update({"SLIPWAY_DATA": data, "SLIPWAY_PROCESS": process, "SLIPWAY_RANK": rank})
    if port != "0":
        variables["PORT"] = port
    return variables


if __name__ == "__main__":
    main(sys.argv)
