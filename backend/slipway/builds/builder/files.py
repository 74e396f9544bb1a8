"""What a build leaves on disk: emptied before, readable by the run user after, and its two reports."""

import os
import shutil
import stat
from pathlib import Path

import msgspec

from slipway.builds.detect.findings import HOW_TO_START
from slipway.builds.detect.tree import CannotBuild

_OTHERS_READ = 0o044
_OTHERS_ENTER = 0o011
_NEVER = 0o6022
"""Set-user-id would let the run user become the build user; others' write would let it change the build."""


def empty(folder: Path) -> None:
    """Remove what an interrupted attempt left. A build is made from nothing."""
    with os.scandir(folder) as entries:
        for entry in list(entries):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                os.unlink(entry.path)


def make_readable(folder: Path) -> None:
    """Let the run user read and execute all that the build user can, and write none of it. Links are left alone."""
    waiting = [str(folder)]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_symlink():
                    continue
                status = entry.stat(follow_symlinks=False)
                _correct_mode(entry.path, status)
                if stat.S_ISDIR(status.st_mode):
                    waiting.append(entry.path)


def _correct_mode(path: str, status: os.stat_result) -> None:
    mode = stat.S_IMODE(status.st_mode)
    wanted = (mode | 0o400 | _OTHERS_READ) & ~_NEVER
    if stat.S_ISDIR(status.st_mode):
        wanted |= 0o100
    if wanted & 0o100:
        wanted |= _OTHERS_ENTER
    if wanted != mode and status.st_uid == os.geteuid():
        os.chmod(path, wanted, follow_symlinks=True)


def find_public_folder(directory: Path, candidates: list[str]) -> Path:
    """The first candidate that holds an index.html, without links that lead out. Raises CannotBuild."""
    root = Path(os.path.realpath(directory))
    for candidate in candidates:
        for path in sorted(root.glob(candidate)) if candidate != "." else [root]:
            real = Path(os.path.realpath(path))
            if real.is_relative_to(root) and (real / "index.html").is_file():
                return real
    shown = " or ".join("the folder itself" if name == "." else name for name in candidates)
    raise CannotBuild(
        f"There is no index.html in {shown} after the build. Set the public folder to where the build puts its files, "
        f"or {HOW_TO_START} if this is not a static site."
    )


def write_json(path: Path, content: msgspec.Struct) -> None:
    """Atomically, and durably: it is there whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    with open(descriptor, "wb") as file:
        file.write(msgspec.json.encode(content))
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
