"""`python -I -m slipway.builds.builder ORDER.json`: exit status 0 built, 1 not, 2 no order, 3 too much log."""

import errno
import os
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import NoReturn

import msgspec

from slipway import durable
from slipway.builds.builder import commands, files
from slipway.builds.builder.build import build
from slipway.builds.builder.output import LogLimitReached, Output
from slipway.builds.detect.findings import plain_text
from slipway.errors import SlipwayError
from slipway.plan import LOG_LIMIT_EXIT, PLAN_FILE, RESULT_FILE, BuildOrder, BuildResult

FAILED, NO_ORDER = 1, 2
STOPPED = 128 + signal.SIGTERM
# Readable for the run user; who may enter the build's folder at all is said by the folder's own mode.
_UMASK = 0o022


class Stopped(BaseException):
    """Somebody asked for the end (SIGTERM). No error: nothing on the way may take it for one."""


def main(arguments: list[str]) -> int:
    try:
        order = msgspec.json.decode(Path(arguments[0]).read_bytes(), type=BuildOrder)
    except (OSError, IndexError, msgspec.MsgspecError, SlipwayError) as error:
        print(f"The build's order cannot be read: {error}", file=sys.stderr)
        return NO_ORDER
    os.umask(_UMASK)
    signal.signal(signal.SIGTERM, _stop)
    commands.adopt_orphans()
    output = Output(sys.stdout.fileno(), order.log_limit_bytes)
    try:
        status, result = _attempt(order, output)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # all is done but to say so
    except Stopped:
        status, result = STOPPED, BuildResult(False, "The build was stopped.")
    commands.end_all()
    _report(order, result, output)
    return status


def _attempt(order: BuildOrder, output: Output) -> tuple[int, BuildResult]:
    try:
        plan = build(order, output)
        files.write_json(Path(order.folder, PLAN_FILE), plan)
        # Once it is live, that is what is promised: of a build that is still in memory a power cut leaves empty files.
        durable.sync(Path(order.folder))
    except LogLimitReached:
        size = f"{output.limit / 1_000_000:g} MB"
        reason = (
            f"The build wrote more than {size} of log and was ended. Make its commands say less, or raise the limit."
        )
        return LOG_LIMIT_EXIT, BuildResult(False, reason)
    except SlipwayError as error:
        return FAILED, BuildResult(False, plain_text(error.message))
    except OSError as error:
        return FAILED, BuildResult(False, _explain(error))
    except Exception:
        # Not a reason for silence: whoever waits for this build needs its end, and whoever reads it, the cause.
        output.say(traceback.format_exc())
        return FAILED, BuildResult(
            False, "Slipway's builder met a fault of its own. The log says where; please report it."
        )
    return 0, BuildResult(True)


def _explain(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The server's disk is full. Free some space, then deploy again."
    if error.errno == errno.EAGAIN:
        return "The build may start no more processes: it met its limit of tasks."
    return f"The build's own files could not be handled: {error}."


def _report(order: BuildOrder, result: BuildResult, output: Output) -> None:
    try:
        files.write_json(Path(order.folder, RESULT_FILE), result)
    except OSError as error:
        output.say(f"Slipway: the result could not be written: {error.strerror}")
    output.say("")
    output.say("Built." if result.ok else f"The build failed. {result.reason}")
    output.end()


def _stop(_number: int, _frame: FrameType | None) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
