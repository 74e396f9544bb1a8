"""Making the folders of an installation."""

import shutil

from slipway.folders import FOLDERS
from slipway.settings import Settings


def after_boot() -> str:
    """What makes those again that a boot empties, before any unit starts (tmpfiles.d(5))."""
    lines = [
        f"d /{folder.path} {folder.mode:04o} {folder.owner} {folder.group} -"
        for folder in FOLDERS if folder.path.startswith("run/")
    ]  # fmt: skip
    return "\n".join(["# Written by Slipway.", *lines, ""])


def ensure(settings: Settings) -> None:
    """Make each, with its owner and mode; in session mode everything belongs to the one user."""
    for folder in FOLDERS:
        path = settings.paths.root / folder.path
        path.mkdir(parents=True, exist_ok=True)
        if settings.switches_users:
            shutil.chown(path, folder.owner, folder.group)
            path.chmod(folder.mode)
        else:
            path.chmod(folder.mode & 0o700)
