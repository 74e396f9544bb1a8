"""Exit codes: the same for every command."""

DONE = 0
FAILED = 1
"""It was tried and failed: a deployment did not go live, `doctor` found something."""
USAGE = 2
"""The command was not understood."""
NOT_FOUND = 3
"""There is no such app, environment, release, …; or it may not be seen."""
REFUSED = 4
"""It may not be done, or not now, or not with these values."""
UNAVAILABLE = 5
"""Slipway does not answer."""


def of_status(status: int) -> int:
    """The exit code for an HTTP status that is not a success."""
    if status == 404:
        return NOT_FOUND
    if status in (502, 503, 504):
        return UNAVAILABLE
    return REFUSED if 400 <= status < 500 else FAILED
