"""A repository that is a folder of this machine (local mode): which folders are never one."""

import os
from pathlib import Path

from slipway.errors import HostRefused
from slipway.host.agent.box import Box


def resolve(box: Box, path: str) -> str:
    """The folder that the path really leads to. Raises HostRefused for one of Slipway's own.

    In those lie other apps' mirrors, builds and data, and root binds the folder in for the fetch, past every closed
    one above it. They are known by their inodes: the state folder shows them under another name.
    """
    real = Path(os.path.realpath(path))
    paths = box.paths
    own = {_identity(folder) for folder in (paths.srv, paths.run, paths.var, paths.cache, paths.etc, paths.log)}
    examples = _identity(paths.srv / "repositories")
    for folder in (real, *real.parents):
        identity = _identity(folder)
        if identity is None:
            continue
        if identity == examples:
            break
        if identity in own:
            raise HostRefused(
                "this path leads into one of Slipway's own folders, where other apps' files are; "
                "give the path of a repository outside of them",
                reason="invalid",
            )
    return str(real)


def _identity(folder: Path) -> tuple[int, int] | None:
    """Device and inode; None for what is not there, which the fetcher tells better."""
    try:
        status = os.stat(folder)
    except OSError:
        return None
    return status.st_dev, status.st_ino
