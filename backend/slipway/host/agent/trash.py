"""The trash: what others wrote is renamed into it by root, emptied there by its owner, then the empty folder goes.

Root never walks such a tree. What could not be emptied is tried again, at the agent's start and from time to time
(`removal.finish`). Builds and data, caches, and mirrors may lie on file systems of their own, so each has its trash
beside it.
"""

import os
import re
from pathlib import Path

import structlog
from pystemd.dbusexc import DBusBaseError

from slipway.errors import HostRefused
from slipway.host.agent import files
from slipway.host.agent.box import FETCH_USER, Box
from slipway.host.agent.units import Account

log = structlog.get_logger()

_NAME = re.compile(r"(?P<number>[0-9]{1,16})-(?P<owner>run|build|fetch)-(?P<environment>[0-9]{1,16})")


def remember_build(box: Box, environment: int, build: int) -> None:
    """Whose a build is, before there is one."""
    owner_file(box, build).parent.mkdir(exist_ok=True, mode=0o700)
    files.write(owner_file(box, build), str(environment), mode=0o600)


def check_owner(box: Box, environment: int, build: int) -> None:
    """Raises HostRefused when the build is another environment's."""
    owner = owner_file(box, build)
    if owner.exists() and owner.read_text() != str(environment):
        raise HostRefused(f"build {build} is not one of environment {environment}", reason="conflict")


def check_built_for(box: Box, environment: int, build: int) -> None:
    """Raises HostRefused unless the build was begun for this environment: what its processes may read hangs on it."""
    owner = owner_file(box, build)
    if not owner.exists() or owner.read_text() != str(environment):
        raise HostRefused(f"build {build} is not one of environment {environment}", reason="conflict")


def builds_of(box: Box, environment: int) -> list[int]:
    folder = owner_file(box, 0).parent
    return [int(file.name) for file in folder.glob("[0-9]*") if file.read_text() == str(environment)]


async def discard_build(box: Box, environment: int, build: int) -> None:
    await discard(box, box.paths.builds / str(build), "build", environment)
    files.remove(owner_file(box, build))


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
    trash = next(trash for trash in box.trashes if folder.is_relative_to(trash.parent))
    unwanted = trash / f"{box.state.next_number()}-{owner}-{number}"
    try:
        os.rename(folder, unwanted)
    except FileNotFoundError:
        return
    files.sync_folder(folder.parent)
    await _empty(box, unwanted)


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


def owner_file(box: Box, build: int) -> Path:
    return box.paths.agent / "builds" / str(build)
