"""What a slot of a static site serves: `live/slots/<place>.<slot>/` with links to public folders.

A slot without such a folder belongs to an app with processes.
"""

import os
import stat
from pathlib import Path

from slipway.errors import HostRefused, Invalid
from slipway.host.agent import files, trash
from slipway.host.agent.box import Box
from slipway.host.protocol import Done, PutSlot


async def put(box: Box, verb: PutSlot) -> Done:
    box.state.at_place(verb.environment, verb.place)
    trash.check_built_for(box, verb.environment, verb.build)
    public = public_folder(box, verb.build, verb.public_folder)
    previous: Path | None = None
    if verb.previous_build is not None and verb.previous_public_folder is not None:
        trash.check_built_for(box, verb.environment, verb.previous_build)
        previous = public_folder(box, verb.previous_build, verb.previous_public_folder)
    box.state.fence(verb.environment, verb.generation)
    slot = folder(box, verb.place, verb.slot)
    files.make_folder(slot, mode=0o755)
    files.link(slot / "public", str(public))
    if previous is not None:
        files.link(slot / "previous", str(previous))
    else:
        files.remove(slot / "previous")
    return Done()


def folder(box: Box, place: int, slot: int) -> Path:
    return box.paths.live / "slots" / f"{place}.{slot}"


def is_static(box: Box, place: int, slot: int) -> bool:
    return folder(box, place, slot).is_dir()


def forget(box: Box, place: int, slot: int) -> None:
    """The slot is an app's from now on."""
    slot_folder = folder(box, place, slot)
    if slot_folder.is_dir():
        for name in ("public", "previous"):
            files.remove(slot_folder / name)
        slot_folder.rmdir()


def public_folder(box: Box, build: int, path: str) -> Path:
    """A folder inside a build, reached without following one link on the way. Raises Invalid, HostRefused."""
    root = box.paths.builds / str(build)
    public = Path(path)
    if not public.is_relative_to(root) or ".." in public.parts or "\0" in path:
        raise Invalid(f"the public folder is not inside build {build}", field="public_folder")
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(root, flags)
    except OSError as error:
        raise HostRefused(f"build {build} is not on this machine", reason="conflict") from error
    try:
        for part in public.relative_to(root).parts:
            inner = os.open(part, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = inner
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise Invalid("the public folder is not a folder", field="public_folder")
    except OSError as error:
        raise Invalid(
            f"the public folder {public.relative_to(root)} of build {build} is not a plain folder: {error.strerror}",
            field="public_folder",
        ) from error
    finally:
        os.close(descriptor)
    return public
