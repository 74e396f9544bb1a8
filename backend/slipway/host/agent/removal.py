"""Removing an environment, a build or a mirror, with all that is of it."""

import asyncio
from pathlib import Path

import structlog
from pystemd.dbusexc import DBusBaseError

from slipway.errors import HostRefused, SlipwayError
from slipway.host.agent import environments, exits, files, instances, owners, routes, sites, slots, trash, work
from slipway.host.agent.box import Box
from slipway.host.protocol import DeleteBuild, DeleteCache, Done, RemoveEnvironment, RemoveMirror
from slipway.settings import SLOTS

FIRST_RETRY_SECONDS = 5.0
LONGEST_RETRY_SECONDS = 3600.0

log = structlog.get_logger()


async def finish(box: Box) -> None:
    """For ever: finish what was to be deleted and is still there, at once and then more and more seldom."""
    while True:
        delay = FIRST_RETRY_SECONDS
        while True:
            box.left_over.clear()
            try:
                await trash.empty_all(box)
                for mark in sorted(_leaving(box, 0).parent.glob("[0-9]*")):
                    _remove_users(box, int(mark.name))
            except (SlipwayError, OSError, DBusBaseError) as error:
                # A full disk, say. Whoever ends the agent for it keeps it from being emptied.
                log.warning("what was to be deleted is still there", error=str(error))
                box.left_over.set()
            if not box.left_over.is_set():
                break
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_RETRY_SECONDS)
        await box.left_over.wait()
        await asyncio.sleep(FIRST_RETRY_SECONDS)


async def remove_environment(box: Box, verb: RemoveEnvironment) -> Done:
    async with box.lock(environments.PREPARATION):
        pass  # one that its asker gave up in the middle comes to its end first, else it leaves folders behind
    if box.state.find(verb.environment) is None:
        return Done()
    box.state.at_place(verb.environment, verb.place)
    await work.stop_all(box, verb.environment)
    await instances.stop_all(box, verb.environment)
    await sites.remove(box, verb.environment)
    routes.remove(box, verb.place)
    for slot in SLOTS:
        slots.forget(box, verb.place, slot)
    _remove_own_folder(box.paths.launch / str(verb.environment))
    await trash.discard_builds(box, verb.environment)
    await trash.discard(box, box.cache(verb.environment), "build", verb.environment)
    await trash.discard(box, box.paths.data / str(verb.environment), "run", verb.environment)
    exits.forget_environment(box, verb.environment)
    await box.systemd.stop(box.names.environment_slice(verb.environment))
    if box.settings.switches_users:
        files.write(_leaving(box, verb.environment), "", mode=0o600)
    box.state.forget(verb.environment)
    try:
        await owners.put(box)
    except SlipwayError as error:  # it is mended later: the user that may still answer there is nobody
        log.warning("the firewall still has a removed environment", environment=verb.environment, error=error.message)
    _remove_users(box, verb.environment)
    return Done()


async def delete_build(box: Box, verb: DeleteBuild) -> Done:
    trash.check_owner(box, verb.environment, verb.build)
    if trash.owner_file(box, verb.environment, verb.build).exists():
        await trash.discard_build(box, verb.environment, verb.build)
    return Done()


async def delete_cache(box: Box, verb: DeleteCache) -> Done:
    environment = box.state.get(verb.environment)
    if work.builds_now(box, verb.environment):
        raise HostRefused(f"a build of environment {verb.environment} uses its cache just now", reason="conflict")
    await trash.discard(box, box.cache(verb.environment), "build", verb.environment)
    environments.make_folders(box, environment)
    return Done()


async def remove_mirror(box: Box, verb: RemoveMirror) -> Done:
    await trash.discard(box, box.paths.mirrors / str(verb.app), "fetch", verb.app)
    return Done()


def _remove_users(box: Box, environment: int) -> None:
    """Users go last: only they can empty what they left in the trash."""
    mark = _leaving(box, environment)
    if not mark.exists() or box.state.find(environment) is not None:
        return
    if trash.holds_any_of(box, environment):
        box.left_over.set()
        return
    try:
        environments.remove_users(box, environment)
        files.remove(mark)
    except (HostRefused, OSError) as error:
        log.warning("users of a removed environment are still there", environment=environment, error=str(error))
        box.left_over.set()


def _leaving(box: Box, environment: int) -> Path:
    """There from before an environment is forgotten until its users are gone."""
    folder = box.paths.agent / "leaving"
    folder.mkdir(exist_ok=True, mode=0o700)
    return folder / str(environment)


def _remove_own_folder(folder: Path) -> None:
    """A folder of root's own, with files in it and nothing else."""
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
