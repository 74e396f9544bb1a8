"""Users, groups and folders of an environment."""

import asyncio
import grp
import pwd

import sh

from slipway.errors import HostRefused
from slipway.host.agent import files, owners
from slipway.host.agent.box import Box, Folder
from slipway.host.agent.state import Environment
from slipway.host.protocol import EnvironmentUsers, PrepareEnvironment

ADMIN_SECONDS = 30
PREPARATION = "preparation"
"""The lock under which environments are prepared: places and user ids are given out one after the other."""


async def prepare(box: Box, verb: PrepareEnvironment) -> EnvironmentUsers:
    """Make what is not there. User ids are recorded before they are used, so that none is ever given out twice."""
    if verb.place > box.settings.apps.places:
        raise HostRefused(
            f"there are {box.settings.apps.places} places on this machine, and place {verb.place} is not among them",
            reason="invalid",
        )
    environment = box.state.find(verb.environment)
    if environment is None:
        taken = {each.place: each.environment for each in box.state.environments()}
        if verb.place in taken:
            raise HostRefused(f"place {verb.place} belongs to environment {taken[verb.place]}", reason="conflict")
        run_uid, build_uid = box.state.take_uids(2) if box.settings.switches_users else (0, 0)
        environment = Environment(verb.environment, verb.place, run_uid, build_uid)
        await owners.put(box, environment)  # first: if nothing comes of it, these user ids are nobody's for ever
        box.state.put(environment)
    elif environment.place != verb.place:
        raise HostRefused(
            f"environment {verb.environment} has place {environment.place} already, not {verb.place}", reason="conflict"
        )
    if box.settings.switches_users:
        await asyncio.to_thread(make_users, box, environment)
    make_folders(box, environment)
    return EnvironmentUsers(run_uid=environment.run_uid, build_uid=environment.build_uid)


def make_users(box: Box, environment: Environment) -> None:
    for name, number in (
        (box.names.run_user(environment.environment), environment.run_uid),
        (box.names.build_user(environment.environment), environment.build_uid),
    ):
        make_user(name, number)


def make_user(name: str, number: int) -> None:
    """A system user and its group, where they are not there."""
    if not _has_group(name):
        administer("groupadd", "--system", "--gid", str(number), name)
    if not _has_user(name):
        administer(
            "useradd", "--system", "--no-log-init", "--no-create-home", "--home-dir=/nonexistent",
            "--shell=/usr/sbin/nologin", f"--uid={number}", f"--gid={number}", name,
        )  # fmt: skip


def remove_users(box: Box, environment: int) -> None:
    """Their ids are never given out again: a file they may have left somewhere belongs to nobody for ever."""
    for name in (box.names.build_user(environment), box.names.run_user(environment)):
        if _has_user(name):
            administer("userdel", name)
        if _has_group(name):
            administer("groupdel", name)


def folders(box: Box, environment: Environment) -> list[Folder]:
    """Those of root's that are an environment's own."""
    number, group = environment.environment, box.run_group(environment)
    run, build = (environment.run_uid, environment.build_uid) if box.settings.switches_users else (-1, -1)
    root = 0 if box.settings.switches_users else -1
    return [
        Folder(box.paths.launch / str(number), 0o750, root, group),
        Folder(box.paths.data / str(number), 0o700, run, group),
        Folder(box.cache(number), 0o700, build, group),
    ]


def make_folders(box: Box, environment: Environment) -> None:
    for path, mode, owner, group in folders(box, environment):
        files.make_folder(path, mode=mode, owner=owner, group=group)


def administer(program: str, *arguments: str) -> None:
    """Run one of the system's user tools. Raises HostRefused with its own words."""
    try:
        sh.Command(program, search_paths=["/usr/sbin", "/sbin"])(*arguments, _timeout=ADMIN_SECONDS)
    except sh.ErrorReturnCode as error:
        words = error.stderr.decode(errors="replace").strip()
        raise HostRefused(f"{program} failed: {words}", reason="failed") from error
    except (sh.TimeoutException, sh.CommandNotFound) as error:
        raise HostRefused(f"{program} could not be run to its end: {error}", reason="failed") from error


def _has_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _has_group(name: str) -> bool:
    try:
        grp.getgrnam(name)
    except KeyError:
        return False
    return True
