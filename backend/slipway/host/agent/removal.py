"""Removing an environment, a build or a mirror, with all that is of it."""

from pathlib import Path

from slipway.host.agent import environments, exits, instances, routes, sites, slots, trash, work
from slipway.host.agent.box import Box
from slipway.host.protocol import DeleteBuild, Done, RemoveEnvironment, RemoveMirror
from slipway.settings import SLOTS


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
    for build in trash.builds_of(box, verb.environment):
        await trash.discard_build(box, verb.environment, build)
    await trash.discard(box, box.cache(verb.environment), "build", verb.environment)
    await trash.discard(box, box.paths.data / str(verb.environment), "run", verb.environment)
    exits.forget_environment(box, verb.environment)
    await box.systemd.stop(box.names.environment_slice(verb.environment))
    if box.settings.switches_users:
        environments.remove_users(box, verb.environment)
    box.state.forget(verb.environment)
    return Done()


async def delete_build(box: Box, verb: DeleteBuild) -> Done:
    trash.check_owner(box, verb.environment, verb.build)
    if trash.owner_file(box, verb.build).exists():
        await trash.discard_build(box, verb.environment, verb.build)
    return Done()


async def remove_mirror(box: Box, verb: RemoveMirror) -> Done:
    await trash.discard(box, box.paths.mirrors / str(verb.app), "fetch", verb.app)
    return Done()


def _remove_own_folder(folder: Path) -> None:
    """A folder of root's own, with files in it and nothing else."""
    if folder.is_dir():
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
