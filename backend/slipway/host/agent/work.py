"""Work that runs once and ends: fetches, builds, release commands. Each in a unit of its own, whose result stays.

Starting it again for the same id changes nothing while systemd knows how it ended (`results` reads that). A fetch or
build that a reboot cut short has left no trace (state `unknown`) and starts anew. A release command never runs twice by
itself: it is marked on disk before it starts, and one that was cut short ended as `may have run`.
"""

from pathlib import Path

import msgspec

from slipway.errors import HostRefused
from slipway.host.agent import certificates, exits, files, local_repositories, results, sites, trash, units
from slipway.host.agent.box import CERTBOT_USER, FETCH_USER, Box
from slipway.host.agent.releases import check_variables
from slipway.host.agent.systemd import UnitState
from slipway.host.certifier.order import CertificateOrder
from slipway.host.fetcher.order import FetchOrder
from slipway.host.protocol import (
    Done,
    FindWork,
    Limits,
    ObtainCertificate,
    StartBuild,
    StartFetch,
    StartReleaseCommand,
    StopWork,
    Work,
    WorkKind,
    WorkState,
)
from slipway.plan import BuildOrder, check_relative_path
from slipway.repository import check_branch, check_repository

FETCH_LIMITS = Limits(memory=1024, tasks=64)
FETCH_SECONDS = 900
CERTIFICATE_LIMITS = Limits(memory=512, tasks=32)
CERTIFICATE_SECONDS = 480
SIGKILL = 9
RELEASE_PROCESS = "release"


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
    links = []
    if is_path and box.settings.switches_users:
        # Through a link of ours, so that no path of a user's stands in the unit; bound in, so that a closed
        # folder above it does not matter.
        link = box.paths.orders / f"{unit}.repository"
        files.link(link, source)
        source = str(box.paths.var / "repository")
        # A path that is not there is the fetcher's to tell, not systemd's.
        links.append(f"-{link}:{source}")
    order = FetchOrder(
        id=verb.id,
        mirror=str(mirror),
        source=source,
        protocols=("file",) if is_path else (source.partition(":")[0],),
        branch=verb.branch,
        commit=verb.commit,
        max_bytes=box.settings.limits.repository_disk * 2**20,
    )
    order_file = _put_order(box, unit, order, box.group(FETCH_USER))
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
        readable=(str(order_file), *links),
        writable=(str(mirror),),
    )
    sizes = results.Sizes(FETCH_LIMITS.memory, FETCH_LIMITS.tasks, FETCH_SECONDS, subject=verb.app)
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
    with trash.remembered_build(box, verb.environment, verb.build):
        files.make_folder(
            folder,
            mode=0o750,
            owner=environment.build_uid if switches else -1,
            group=box.run_group(environment),
        )
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
        checkout_limit_bytes=box.settings.limits.checkout_disk * 2**20,
    )
    order_file = _put_order(box, unit, order, box.run_group(environment))
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
    sizes = results.Sizes(
        verb.limits.memory, verb.limits.tasks, verb.seconds, verb.log_bytes, verb.build, environment=verb.environment
    )
    await _start(box, work, sizes)
    return Done()


async def start_certificate(box: Box, verb: ObtainCertificate) -> Done:
    """Start certbot for one hostname. Again for the same id: nothing changes until that was stopped."""
    sites.check_hostname(verb.hostname)
    unit = box.names.work(WorkKind.CERTIFICATE, verb.id)
    if _is_started(box, unit):
        return Done()
    await _clear(box, unit)
    settings = box.settings.certificates
    state, folder = box.paths.certbot / "state", box.paths.certbot / "results"
    order = CertificateOrder(
        id=verb.id,
        hostname=verb.hostname,
        server=settings.acme_server,
        email=settings.email,
        trusted=settings.trusted,
        state=str(state),
        webroot=str(box.paths.acme),
        results=str(folder),
    )
    order_file = _put_order(box, unit, order, box.group(CERTBOT_USER))
    work = units.Work(
        unit=unit,
        title=f"certificate {verb.id}",
        identifier=f"certificate-{verb.id}",
        account=box.own_account(CERTBOT_USER),
        slice=box.names.builds_slice,
        command=(str(box.units.python), "-I", "-m", "slipway.host.certifier", str(order_file)),
        limits=CERTIFICATE_LIMITS,
        seconds=CERTIFICATE_SECONDS,
        umask="0022",  # nginx reads the challenge
        readable=(str(order_file), f"-{settings.trusted}"),
        writable=(str(state), str(folder), str(box.paths.acme)),
    )
    await _start(box, work, results.Sizes(CERTIFICATE_LIMITS.memory, CERTIFICATE_LIMITS.tasks, CERTIFICATE_SECONDS))
    return Done()


async def start_release_command(box: Box, verb: StartReleaseCommand) -> Done:
    unit = box.names.work(WorkKind.RELEASE_COMMAND, verb.id)
    if _is_started(box, unit) or _ran_mark(box, verb.id).exists():
        return Done()
    trash.check_built_for(box, verb.environment, verb.build)
    launch_file = box.units.launch_file(verb.environment, verb.release)
    if not launch_file.exists():
        raise HostRefused(f"v{verb.release} has no launcher file on this machine; put it first", reason="conflict")
    box.state.fence(verb.environment, verb.generation)
    await _clear(box, unit)
    work = units.Work(
        unit=unit,
        title=f"release command of v{verb.release}",
        identifier=f"release-{verb.id}",
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
    sizes = results.Sizes(verb.limits.memory, verb.limits.tasks, verb.seconds, environment=verb.environment)
    await _start(box, work, sizes)
    return Done()


async def _start(box: Box, work: units.Work, sizes: results.Sizes) -> None:
    files.write(results.sizes_file(box, work.unit), msgspec.json.encode(sizes), mode=0o600)
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
            return Work(WorkState.ENDED, reason=f"The release command was cut short. {results.MAY_HAVE_RUN}")
        return Work(WorkState.UNKNOWN)
    if not state.over:
        return Work(WorkState.RUNNING)
    end_leftovers(box, unit, state)
    return results.read(box, verb, unit, state)


async def stop(box: Box, verb: StopWork) -> Done:
    unit = box.names.work(verb.kind, verb.id)
    if box.has_unit(unit) or box.systemd.is_in_memory(unit):
        await box.end_unit(unit)
    for file in _order_files(box, unit):
        files.remove(file)
    exits.forget_unit(box, unit)
    if verb.kind is WorkKind.CERTIFICATE:
        certificates.forget_result(box, verb.id)
    if verb.kind is WorkKind.RELEASE_COMMAND:
        files.remove(_ran_mark(box, verb.id))
    return Done()


async def stop_all(box: Box, environment: int) -> None:
    """End the builds and release commands of an environment that is being removed."""
    for unit in box.unit_files():
        found = box.names.find_work(unit)
        if found and results.environment_of(box, unit) == environment:
            kind, number = found
            await stop(box, StopWork(kind, number))


def builds_now(box: Box, environment: int) -> bool:
    """Whether a build of an environment runs."""
    prefix = f"{box.names.prefix}-{WorkKind.BUILD}-"
    units = (unit for unit in box.unit_files() if unit.startswith(prefix))
    return any(results.environment_of(box, unit) == environment and not box.systemd.state(unit).over for unit in units)


def end_leftovers(box: Box, unit: str, state: UnitState) -> None:
    """What a piece of work left running in its control group ends with it."""
    if state.sub == "exited":
        box.systemd.kill(unit, SIGKILL)


# ---- files -------------------------------------------------------------------------------------------------------


def _put_order(box: Box, unit: str, order: FetchOrder | BuildOrder | CertificateOrder, group: int | None) -> Path:
    """For the user that does the work to read, by its group, and nobody else. → the file"""
    file = box.paths.orders / f"{unit}.json"
    files.write(file, msgspec.json.encode(order), mode=0o640, group=group)
    return file


def _order_files(box: Box, unit: str) -> list[Path]:
    return [box.paths.orders / f"{unit}{suffix}" for suffix in (".json", ".repository", ".sizes")]


def _ran_mark(box: Box, number: int) -> Path:
    return box.paths.agent / "release-commands" / str(number)
