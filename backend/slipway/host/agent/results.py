"""How a piece of work ended: what systemd, its exit record and the result that it left say, in that order.

What a fetch or a build left was written by strangers' programs: it is read with care, and nothing in it is believed
of a unit that did not end well.
"""

from pathlib import Path

import msgspec

from slipway.errors import Invalid
from slipway.host.agent import exits, files
from slipway.host.agent.box import NGINX_USER, Box
from slipway.host.agent.systemd import UnitState
from slipway.host.certifier.order import MAX_RESULT_BYTES as MAX_CERTIFICATE_BYTES
from slipway.host.certifier.order import CertificateResult
from slipway.host.certifier.order import result_name as certificate_name
from slipway.host.fetcher.order import RESULT_FOLDER, FetchResult, result_name
from slipway.host.protocol import Fetched, FindWork, Work, WorkKind, WorkState
from slipway.plan import LOG_LIMIT_EXIT, PLAN_FILE, RESULT_FILE, BuildResult, Plan, validate

MAX_RESULT_BYTES = 262_144
MAX_REASON = 2000
LONGEST_WAIT = 8 * 86400
"""Seconds that an authority may ask to be left alone."""
MAY_HAVE_RUN = (
    "It may have run, wholly or in part, and is not run again by itself. Look at what it changes, then deploy again."
)

_NOUN = {
    WorkKind.FETCH: "fetch",
    WorkKind.BUILD: "build",
    WorkKind.RELEASE_COMMAND: "release command",
    WorkKind.CERTIFICATE: "certificate's request",
}


class Sizes(msgspec.Struct, frozen=True):
    """The limits that a piece of work was started with, to name them when one was met; and what it worked on."""

    memory: int
    tasks: int
    seconds: int
    log_bytes: int = 0
    subject: int = 0
    """The app of a fetch, the build of a build."""
    environment: int = 0


def sizes_file(box: Box, unit: str) -> Path:
    return box.paths.orders / f"{unit}.sizes"


def read_sizes(box: Box, unit: str) -> Sizes:
    return msgspec.json.decode(sizes_file(box, unit).read_bytes(), type=Sizes)


def environment_of(box: Box, unit: str) -> int | None:
    """Whose a build or a release command is; None of what was never begun."""
    return read_sizes(box, unit).environment if sizes_file(box, unit).exists() else None


def read(box: Box, verb: FindWork, unit: str, state: UnitState) -> Work:
    """The result of a unit that is over."""
    sizes = read_sizes(box, unit)
    exited_well = state.active == "active" and state.exit_code == 1 and state.exit_status == 0
    limit = None if exited_well else _limit(box, verb.kind, unit, state)
    if limit is not None:
        return Work(WorkState.ENDED, limit=limit, reason=limit_reason(_NOUN[verb.kind], limit, sizes))
    try:
        match verb.kind:
            case WorkKind.FETCH:
                return _fetch_result(box, verb.id, sizes, exited_well)
            case WorkKind.BUILD:
                return _build_result(box, sizes, exited_well)
            case WorkKind.CERTIFICATE:
                return _certificate_result(box, verb.id, exited_well)
            case WorkKind.RELEASE_COMMAND:
                if exited_well:
                    return Work(WorkState.ENDED, ok=True)
    except (OSError, Invalid, *files.UNREADABLE) as error:
        if exited_well:
            return Work(WorkState.ENDED, reason=f"The {_NOUN[verb.kind]} left a result that cannot be used: {error}")
    advice = "Its log says more."
    if verb.kind is WorkKind.RELEASE_COMMAND and not _ended_by_itself(state):
        advice = MAY_HAVE_RUN
    return Work(WorkState.ENDED, reason=f"The {_NOUN[verb.kind]} {_end(state)}. {advice}")


def _limit(box: Box, kind: WorkKind, unit: str, state: UnitState) -> str | None:
    if state.result == "timeout":
        return "time"
    record = exits.last_of_unit(box, unit)
    if record and record.out_of_memory:
        return "memory" if record.limit_met else "pressure"
    if state.result == "oom-kill":
        # By systemd-oomd, where the kernel counted no kill of its own: the whole box was short of memory.
        return "pressure" if record else "memory"
    if kind is WorkKind.BUILD and state.exit_code == 1 and state.exit_status == LOG_LIMIT_EXIT:
        return "log"
    if record and record.tasks_refused:
        return "tasks"
    return None


def limit_reason(noun: str, limit: str, sizes: Sizes) -> str:
    """One sentence that names the limit's size, and one that says what to do."""
    match limit:
        case "memory":
            return (
                f"The {noun} used more than its {sizes.memory} MiB of memory and was ended. "
                "Make it use less, or give it a higher memory limit."
            )
        case "pressure":
            return (
                f"This server was short of memory, and the {noun} was ended so that apps did not have to wait. "
                "Try again when less is going on, make it use less, or give the server more memory."
            )
        case "tasks":
            return (
                f"The {noun} wanted more than its {sizes.tasks} processes and threads at once, and failed. "
                "Make it start fewer, or give it a higher task limit."
            )
        case "time":
            return (
                f"The {noun} took longer than its {sizes.seconds} s and was ended. "
                "See in its log what it was waiting for, or give it more time."
            )
        case "log":
            return (
                f"The {noun} wrote more than its {sizes.log_bytes:,} bytes of log and was ended. "
                "Make it say less: a progress bar or a debug setting is often the cause."
            )
        case _:
            return f"The {noun} met its limit of {limit} and was ended."


def _fetch_result(box: Box, number: int, sizes: Sizes, exited_well: bool) -> Work:
    mirror = box.paths.mirrors / str(sizes.subject)
    text = files.read_hostile(mirror, RESULT_FOLDER, result_name(number), limit=MAX_RESULT_BYTES)
    result = msgspec.json.decode(text, type=FetchResult)
    if exited_well and result.ok and result.commit is not None:
        fetched = msgspec.convert(
            {"commit": result.commit, "subject": line(result.subject), "author": line(result.author)}, Fetched
        )
        return Work(WorkState.ENDED, ok=True, fetched=fetched)
    limit = result.limit if result.limit in ("disk", "time") else None
    return Work(WorkState.ENDED, limit=limit, reason=line(result.reason or "The fetch failed.", MAX_REASON))


def _build_result(box: Box, sizes: Sizes, exited_well: bool) -> Work:
    folder = box.paths.builds / str(sizes.subject)
    result = msgspec.json.decode(files.read_hostile(folder, RESULT_FILE, limit=MAX_RESULT_BYTES), type=BuildResult)
    if not (exited_well and result.ok):
        return Work(WorkState.ENDED, reason=line(result.reason or "The build failed. Its log says more.", MAX_REASON))
    plan = msgspec.json.decode(files.read_hostile(folder, PLAN_FILE, limit=MAX_RESULT_BYTES), type=Plan)
    plan = validate(plan, folder)
    if plan.public_folder is not None:
        _let_nginx_in(box, sizes.subject, has_processes=bool(plan.processes or plan.release_command))
    return Work(WorkState.ENDED, ok=True, plan=plan)


def _certificate_result(box: Box, number: int, exited_well: bool) -> Work:
    """What it holds is checked when it is installed."""
    result = read_certificate(box, number)
    if exited_well and result.ok:
        return Work(WorkState.ENDED, ok=True)
    reason = line(result.reason or "No certificate could be obtained.", MAX_REASON)
    return Work(WorkState.ENDED, reason=reason, wait_seconds=max(0, min(result.not_before_seconds, LONGEST_WAIT)))


def read_certificate(box: Box, number: int) -> CertificateResult:
    """As certbot's user left it. Raises OSError, Invalid, files.UNREADABLE."""
    text = files.read_hostile(box.paths.certbot / "results", certificate_name(number), limit=MAX_CERTIFICATE_BYTES)
    return msgspec.json.decode(text, type=CertificateResult)


def _let_nginx_in(box: Box, build: int, *, has_processes: bool) -> None:
    """nginx must pass the top folder of a static site. One that has processes as well is passed by its run group."""
    folder = box.paths.builds / str(build)
    if has_processes:
        files.make_folder(folder, mode=0o751)
    else:
        files.make_folder(folder, mode=0o750, group=box.group(NGINX_USER))


def _ended_by_itself(state: UnitState) -> bool:
    """With an exit status of its own, not by a signal or because its unit was stopped."""
    return state.exit_code == 1 and state.exit_status != 0


def _end(state: UnitState) -> str:
    if state.exit_code == 1 and state.exit_status == 0:
        return "was stopped from outside"
    if state.exit_code == 1:
        return f"ended with exit status {state.exit_status}"
    if state.exit_code in (2, 3):
        return f"was ended by signal {state.exit_status}"
    return f"could not be run ({state.result})"


def line(text: str, length: int = 300) -> str:
    """Text that others wrote, as one printable line."""
    return "".join(character if character.isprintable() else " " for character in text)[:length].strip()
