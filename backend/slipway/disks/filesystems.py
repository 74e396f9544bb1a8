"""The file systems that Slipway writes to, as the kernel counts them."""

import os
from pathlib import Path

from slipway.disks.models import FileSystem
from slipway.settings import Mode, Settings


def look(settings: Settings) -> list[FileSystem]:
    """Each once, the one that holds the builds first. A place that is not there yet is passed over."""
    paths = settings.paths
    places = {
        "builds": paths.builds,
        "data": paths.data,
        "caches": paths.cache,
        "copies of repositories": paths.mirrors,
        "the database": paths.var / "postgresql",
        "logs": Path("/var/log/journal") if settings.mode is Mode.SERVER else paths.log,
    }
    found: dict[int, list[str]] = {}
    where: dict[int, Path] = {}
    for name, path in places.items():
        try:
            device = path.stat().st_dev
        except OSError:
            continue
        found.setdefault(device, []).append(name)
        where.setdefault(device, path)
    return [_look(tuple(names), where[device]) for device, names in found.items()]


def _look(holds: tuple[str, ...], path: Path) -> FileSystem:
    seen = os.statvfs(path)
    return FileSystem(
        holds=holds,
        total=seen.f_blocks * seen.f_frsize,
        free=seen.f_bavail * seen.f_frsize,
        inodes=seen.f_files,
        free_inodes=seen.f_favail,
    )
