"""The trash: what others wrote is renamed into it by root, emptied there by its owner, then the empty folder goes.

Root never walks such a tree. What could not be emptied is tried again, at the agent's start and from time to time
(`removal.finish`). Builds and data, caches, and mirrors may lie on file systems of their own, so each has its trash
beside it.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import structlog
from pystemd.dbusexc import DBusBaseError

from slipway.errors import HostRefused
from slipway.host.agent import files
from slipway.host.agent.box import FETCH_USER, Box
from slipway.host.agent.units import Account

log = structlog.get_logger()

_NAME = re.compile(r"(?P<number>[0-9]{1,16})-(?P<owner>run|build|fetch)-(?P<environment>[0-9]{1,16})")


@contextmanager
def remembered_build(box: Box, environment: int, build: int) -> Iterator[None]:
    """Whose a build is, before there is one. It is made in here; where it is not, it is nobody's again."""
    file = owner_file(box, environment, build)
    if not file.parent.exists():
        file.parent.mkdir(parents=True, mode=0o700)
        files.sync_folder(file.parent.parent)
    files.write(file, "", mode=0o600)
    try:
        yield
    finally:
        if not os.path.lexists(box.paths.builds / str(build)):
            files.remove(file)


def check_owner(box: Box, environment: int, build: int) -> None:
    """Raises HostRefused when the build is another environment's: what is there and not this one's."""
    if os.path.lexists(box.paths.builds / str(build)):
        check_built_for(box, environment, build)


def check_built_for(box: Box, environment: int, build: int) -> None:
    """Raises HostRefused unless the build was begun for this environment: what its processes may read hangs on it."""
    if not owner_file(box, environment, build).exists():
        raise HostRefused(f"build {build} is not one of environment {environment}", reason="conflict")


def forget_builds_that_are_gone(box: Box) -> None:
    """At the start: an agent that was killed may have remembered one that it never made, or no longer has."""
    records = box.paths.agent / "builds"
    for folder in os.scandir(records) if records.exists() else ():
        for build in os.listdir(folder):
            if not os.path.lexists(f"{box.paths.builds}/{build}"):
                os.unlink(f"{folder.path}/{build}")


def builds_of(box: Box, environment: int) -> list[int]:
    return [int(file.name) for file in owner_file(box, environment, 0).parent.glob("[0-9]*")]


async def discard_build(box: Box, environment: int, build: int) -> None:
    unwanted = _take_away(box, box.paths.builds / str(build), "build", environment)
    files.remove(owner_file(box, environment, build))
    await _empty(box, unwanted)


async def discard_builds(box: Box, environment: int) -> None:
    """All of an environment's, which has no more of them."""
    for build in builds_of(box, environment):
        await discard_build(box, environment, build)
    folder = owner_file(box, environment, 0).parent
    if folder.exists():
        folder.rmdir()


async def empty_all(box: Box) -> None:
    """Empty what was left in the trash: by an agent that ended, or because it could not be emptied."""
    for trash in box.trashes:
        for folder in sorted(trash.iterdir()):
            await _empty(box, folder)


def holds_any_of(box: Box, environment: int) -> bool:
    """Whether something of an environment's users still lies in the trash."""
    names = (_NAME.fullmatch(folder.name) for trash in box.trashes for folder in trash.iterdir())
    return any(name and name["owner"] != "fetch" and int(name["environment"]) == environment for name in names)


async def discard(box: Box, folder: Path, owner: str, number: int) -> None:
    """`owner` is `run` or `build` with an environment's number, or `fetch` with an app's. Nothing there is fine."""
    unwanted = _take_away(box, folder, owner, number)
    await _empty(box, unwanted)


def _take_away(box: Box, folder: Path, owner: str, number: int) -> Path:
    """→ where it is now, if there was anything."""
    trash = next(trash for trash in box.trashes if folder.is_relative_to(trash.parent))
    unwanted = trash / f"{box.state.next_number()}-{owner}-{number}"
    with suppress(FileNotFoundError):
        os.rename(folder, unwanted)
        files.sync_folder(folder.parent)
    return unwanted


async def _empty(box: Box, folder: Path) -> None:
    match = _NAME.fullmatch(folder.name)
    if match is None:
        return
    async with box.lock(f"trash {folder.name}"):
        if not folder.exists():
            return
        unit = box.names.removal(folder.name)
        try:
            box.put_unit(unit, box.units.removal(folder, _account(box, match["owner"], int(match["environment"]))))
            await box.systemd.start(unit)
            folder.rmdir()
        except (HostRefused, OSError, DBusBaseError) as error:
            log.warning("the trash cannot be emptied yet", folder=folder.name, error=str(error))
            box.left_over.set()
        finally:
            box.remove_unit(unit)


def _account(box: Box, owner: str, environment: int) -> Account:
    if owner == "fetch":
        return box.own_account(FETCH_USER)
    return box.run_account(environment) if owner == "run" else box.build_account(environment)


def owner_file(box: Box, environment: int, build: int) -> Path:
    """There while the build is this environment's, of which there may be thousands."""
    return box.paths.agent / "builds" / str(environment) / str(build)
