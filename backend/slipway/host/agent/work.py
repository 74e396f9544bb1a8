"""Work that runs once and ends: fetches, builds, release commands. Each in a unit of its own, whose result stays.

Starting it again for the same id changes nothing while systemd knows how it ended. A fetch or build that a reboot
cut short has left no trace (state `unknown`) and starts anew. A release command never runs twice by itself: it is
marked on disk before it starts, and one that was cut short ended as `may have run`.
"""

from pathlib import Path

import msgspec

from slipway.errors import HostRefused, Invalid
from slipway.host.agent import exits, files, local_repositories, trash, units
from slipway.host.agent.box import FETCH_USER, NGINX_USER, Box
from slipway.host.agent.releases import check_variables
from slipway.host.agent.systemd import UnitState
from slipway.host.fetcher.order import RESULT_FOLDER, FetchOrder, FetchResult, result_name
from slipway.host.protocol import (
    Done,
    Fetched,
    FindWork,
    Limits,
    StartBuild,
    StartFetch,
    StartReleaseCommand,
    StopWork,
    Work,
    WorkKind,
    WorkState,
)
from slipway.plan import (
    LOG_LIMIT_EXIT,
    PLAN_FILE,
    RESULT_FILE,
    BuildOrder,
    BuildResult,
    Plan,
    check_relative_path,
    validate,
)
from slipway.repository import check_branch, check_repository

FETCH_LIMITS = Limits(memory=1024, tasks=64)
FETCH_SECONDS = 900
FETCH_FILE_BYTES = 4 * 2**30
MAX_RESULT_BYTES = 262_144
MAX_REASON = 2000
SIGKILL = 9
RELEASE_PROCESS = "release"

_NOUN = {WorkKind.FETCH: "fetch", WorkKind.BUILD: "build", WorkKind.RELEASE_COMMAND: "release command"}


class Sizes(msgspec.Struct, frozen=True):
    """The limits that a piece of work was started with, to name them when one was met; and what it worked on."""

    memory: int
    tasks: int
    seconds: int
    log_bytes: int = 0
    subject: int = 0
    """The app of a fetch, the build of a build."""
    environment: int = 0


# ---- starting --------------------------------------------------------------------------------------------------


async def start_fetch(box: Box, verb: StartFetch) -> Done:
    source = check_repository(verb.repository, box.settings.mode)
    check_branch(verb.branch)
    unit = box.names.work(WorkKind.FETCH, verb.id)
    if _is_started(box, unit):
        return Done()
    await _clear(box, unit)
    is_path = source.startswith("/")
    if is_path:
        source = local_repositories.resolve(box, source)
    mirror = box.paths.mirrors / str(verb.app)
    files.make_folder(mirror, mode=0o755, owner=box.user(FETCH_USER), group=box.group(FETCH_USER))
    order_file = box.paths.orders / f"{unit}.json"
    readable = [str(order_file)]
    if is_path and box.settings.switches_users:
        # Through a link of ours, so that no path of a user's stands in the unit; bound in, so that a closed
        # folder above it does not matter.
        link = box.paths.orders / f"{unit}.repository"
        files.link(link, source)
        source = str(box.paths.var / "repository")
        # A path that is not there is the fetcher's to tell, not systemd's.
        readable.append(f"-{link}:{source}")
    order = FetchOrder(
        id=verb.id,
        mirror=str(mirror),
        source=source,
        protocols=("file",) if is_path else (source.partition(":")[0],),
        branch=verb.branch,
        commit=verb.commit,
        max_file_bytes=FETCH_FILE_BYTES,
    )
    files.write(order_file, msgspec.json.encode(order), mode=0o640, group=box.group(FETCH_USER))
    work = units.Work(
        unit=unit,
        title=f"fetch {verb.id}",
        identifier=f"fetch-{verb.id}",
        account=box.own_account(FETCH_USER),
        slice=box.names.builds_slice,
        command=(str(box.units.python), "-I", "-m", "slipway.host.fetcher", str(order_file)),
        limits=FETCH_LIMITS,
        seconds=FETCH_SECONDS,
        umask="0022",
        readable=tuple(readable),
        writable=(str(mirror),),
    )
    sizes = Sizes(FETCH_LIMITS.memory, FETCH_LIMITS.tasks, FETCH_SECONDS, subject=verb.app)
    await _start(box, work, sizes)
    return Done()


async def start_build(box: Box, verb: StartBuild) -> Done:
    base_directory = check_relative_path(verb.base_directory, "base_directory")
    check_variables(verb.variables)
    environment = box.state.get(verb.environment)
    unit = box.names.work(WorkKind.BUILD, verb.id)
    if _is_started(box, unit):
        return Done()
    await _clear(box, unit)
    mirror = box.paths.mirrors / str(verb.app)
    if not mirror.is_dir():
        raise HostRefused(f"app {verb.app} has no mirror on this machine; fetch first", reason="conflict")
    folder = box.paths.builds / str(verb.build)
    trash.check_owner(box, verb.environment, verb.build)
    if folder.exists():
        # Left by a build that was cut short: a build is made in an empty folder or not at all.
        await trash.discard_build(box, verb.environment, verb.build)
    switches = box.settings.switches_users
    trash.remember_build(box, verb.environment, verb.build)
    files.make_folder(
        folder,
        mode=0o750,
        owner=environment.build_uid if switches else -1,
        group=box.run_group(environment),
    )
    order_file = box.paths.orders / f"{unit}.json"
    cache = box.cache(verb.environment)
    order = BuildOrder(
        build_id=verb.build,
        mirror=str(mirror),
        commit=verb.commit,
        folder=str(folder),
        cache=str(cache),
        base_directory=base_directory,
        overrides=verb.overrides,
        variables=verb.variables,
        log_limit_bytes=verb.log_bytes,
    )
    files.write(order_file, msgspec.json.encode(order), mode=0o640, group=box.run_group(environment))
    work = units.Work(
        unit=unit,
        title=f"build {verb.build}",
        identifier=f"build-{verb.build}",
        account=box.build_account(verb.environment),
        slice=box.names.builds_slice,
        command=(str(box.units.python), "-I", "-m", "slipway.builds.builder", str(order_file)),
        limits=verb.limits,
        seconds=verb.seconds,
        # The folder above keeps others out; nginx must be able to read a static site's files.
        umask="0022",
        readable=(str(order_file), str(mirror)),
        writable=(str(folder), str(cache)),
    )
    sizes = Sizes(
        verb.limits.memory, verb.limits.tasks, verb.seconds, verb.log_bytes, verb.build, environment=verb.environment
    )
    await _start(box, work, sizes)
    return Done()


async def start_release_command(box: Box, verb: StartReleaseCommand) -> Done:
    unit = box.names.work(WorkKind.RELEASE_COMMAND, verb.id)
    if _is_started(box, unit) or _ran_mark(box, verb.id).exists():
        return Done()
    launch_file = box.units.launch_file(verb.environment, verb.release)
    if not launch_file.exists():
        raise HostRefused(f"v{verb.release} has no launcher file on this machine; put it first", reason="conflict")
    box.state.fence(verb.environment, verb.generation)
    await _clear(box, unit)
    work = units.Work(
        unit=unit,
        title=f"release command of v{verb.release}",
        identifier=f"e{verb.environment}",
        account=box.run_account(verb.environment),
        slice=box.names.environment_slice(verb.environment),
        command=("/usr/bin/python3", "-I", "-S", str(box.units.launcher), str(launch_file), RELEASE_PROCESS, "0", "0"),
        limits=verb.limits,
        seconds=verb.seconds,
        umask="0027",
        readable=(str(box.paths.builds / str(verb.build)), str(launch_file)),
        writable=(str(box.paths.data / str(verb.environment)),),
    )
    mark = _ran_mark(box, verb.id)
    mark.parent.mkdir(exist_ok=True, mode=0o700)
    files.write(mark, "", mode=0o600)
    sizes = Sizes(verb.limits.memory, verb.limits.tasks, verb.seconds, environment=verb.environment)
    await _start(box, work, sizes)
    return Done()


async def _start(box: Box, work: units.Work, sizes: Sizes) -> None:
    files.write(_sizes_file(box, work.unit), msgspec.json.encode(sizes), mode=0o600)
    box.put_unit(work.unit, box.units.work(work))
    await box.systemd.start(work.unit)


def _is_started(box: Box, unit: str) -> bool:
    return box.has_unit(unit) and box.systemd.state(unit).started > 0


async def _clear(box: Box, unit: str) -> None:
    """Take away what a start that did not come to its end left."""
    if box.has_unit(unit):
        await box.end_unit(unit)
    for file in _order_files(box, unit):
        files.remove(file)


# ---- finding and stopping ----------------------------------------------------------------------------------------


async def find(box: Box, verb: FindWork) -> Work:
    unit = box.names.work(verb.kind, verb.id)
    state = box.systemd.state(unit) if box.has_unit(unit) else None
    if state is None or state.started == 0:
        if verb.kind is WorkKind.RELEASE_COMMAND and _ran_mark(box, verb.id).exists():
            return Work(
                WorkState.ENDED,
                reason="The release command was cut short by a restart of the machine: it may have run. "
                "Check what it does by hand, then deploy again.",
            )
        return Work(WorkState.UNKNOWN)
    if not state.over:
        return Work(WorkState.RUNNING)
    end_leftovers(box, unit, state)
    return _ended(box, verb, unit, state)


async def stop(box: Box, verb: StopWork) -> Done:
    unit = box.names.work(verb.kind, verb.id)
    if box.has_unit(unit) or box.systemd.listed(unit):
        await box.end_unit(unit)
    for file in _order_files(box, unit):
        files.remove(file)
    exits.forget_unit(box, unit)
    if verb.kind is WorkKind.RELEASE_COMMAND:
        files.remove(_ran_mark(box, verb.id))
    return Done()


async def stop_all(box: Box, environment: int) -> None:
    """End the builds and release commands of an environment that is being removed."""
    for file in box.unit_folder.glob(f"{box.names.prefix}-*.service"):
        found = box.names.find_work(file.name)
        if found and _sizes_file(box, file.name).exists() and _sizes(box, file.name).environment == environment:
            kind, number = found
            await stop(box, StopWork(kind, number))


def end_leftovers(box: Box, unit: str, state: UnitState) -> None:
    """What a piece of work left running in its control group ends with it."""
    if state.sub == "exited":
        box.systemd.kill(unit, SIGKILL)


def _ended(box: Box, verb: FindWork, unit: str, state: UnitState) -> Work:
    sizes = _sizes(box, unit)
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
            case WorkKind.RELEASE_COMMAND:
                if exited_well:
                    return Work(WorkState.ENDED, ok=True)
    except (OSError, Invalid, msgspec.MsgspecError) as error:
        if exited_well:
            return Work(WorkState.ENDED, reason=f"The {_NOUN[verb.kind]} left a result that cannot be used: {error}")
    return Work(WorkState.ENDED, reason=f"The {_NOUN[verb.kind]} {_end(state)}. Its log says more.")


def _limit(box: Box, kind: WorkKind, unit: str, state: UnitState) -> str | None:
    if state.result == "timeout":
        return "time"
    record = exits.last_of_unit(box, unit)
    if state.result == "oom-kill" or (record and record.out_of_memory):
        return "memory"
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
            {"commit": result.commit, "subject": _line(result.subject), "author": _line(result.author)}, Fetched
        )
        return Work(WorkState.ENDED, ok=True, fetched=fetched)
    limit = result.limit if result.limit in ("disk", "time") else None
    return Work(WorkState.ENDED, limit=limit, reason=_line(result.reason or "The fetch failed.", MAX_REASON))


def _build_result(box: Box, sizes: Sizes, exited_well: bool) -> Work:
    folder = box.paths.builds / str(sizes.subject)
    result = msgspec.json.decode(files.read_hostile(folder, RESULT_FILE, limit=MAX_RESULT_BYTES), type=BuildResult)
    if not (exited_well and result.ok):
        return Work(WorkState.ENDED, reason=_line(result.reason or "The build failed. Its log says more.", MAX_REASON))
    plan = msgspec.json.decode(files.read_hostile(folder, PLAN_FILE, limit=MAX_RESULT_BYTES), type=Plan)
    plan = validate(plan, folder)
    if plan.public_folder is not None:
        _let_nginx_in(box, sizes.subject, has_processes=bool(plan.processes or plan.release_command))
    return Work(WorkState.ENDED, ok=True, plan=plan)


def _let_nginx_in(box: Box, build: int, *, has_processes: bool) -> None:
    """nginx must pass the top folder of a static site. One that has processes as well is passed by its run group."""
    folder = box.paths.builds / str(build)
    if has_processes:
        files.make_folder(folder, mode=0o751)
    else:
        files.make_folder(folder, mode=0o750, group=box.group(NGINX_USER))


def _end(state: UnitState) -> str:
    if state.exit_code == 1:
        return f"ended with exit status {state.exit_status}"
    if state.exit_code in (2, 3):
        return f"was ended by signal {state.exit_status}"
    return f"could not be run ({state.result})"


def _line(text: str, length: int = 300) -> str:
    """Text that others wrote, as one printable line."""
    return "".join(character if character.isprintable() else " " for character in text)[:length].strip()


# ---- files -------------------------------------------------------------------------------------------------------


def _order_files(box: Box, unit: str) -> list[Path]:
    return [box.paths.orders / f"{unit}{suffix}" for suffix in (".json", ".repository", ".sizes")]


def _sizes_file(box: Box, unit: str) -> Path:
    return box.paths.orders / f"{unit}.sizes"


def _sizes(box: Box, unit: str) -> Sizes:
    return msgspec.json.decode(_sizes_file(box, unit).read_bytes(), type=Sizes)


def _ran_mark(box: Box, number: int) -> Path:
    return box.paths.agent / "release-commands" / str(number)
