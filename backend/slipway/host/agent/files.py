"""Files on the host are written whole or not at all: temporary, fsync, rename, fsync of the folder."""

import os
import re
import secrets
import stat
from pathlib import Path

import msgspec

from slipway.errors import Invalid

UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""What msgspec raises of JSON that others wrote: what does not fit, what is no UTF-8, what is nested too deeply."""

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}")


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}")


def write(path: Path, content: str | bytes, *, mode: int = 0o644, group: int | None = None) -> None:
    """Write a file that survives a power cut once this returns. `group` is a gid; the owner is the caller."""
    temporary = _temporary(path)
    data = content.encode() if isinstance(content, str) else content
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        try:
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.write(data)
            if group is not None:
                os.fchown(descriptor, -1, group)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def link(path: Path, target: str) -> None:
    """Make or replace a symbolic link by one rename."""
    temporary = _temporary(path)
    os.symlink(target, temporary)
    os.rename(temporary, path)
    sync_folder(path.parent)


def sweep(folder: Path, *, prefix: str = "") -> None:
    """Remove what `write` and `link` left when they were killed in the middle; of files with this prefix.

    For folders that only root writes to, while nobody does.
    """
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(place) / name
            if name.startswith(f".{prefix}") and _TEMPORARY.fullmatch(name) and (path.is_symlink() or path.is_file()):
                path.unlink()


def remove(path: Path) -> None:
    """Remove a file or link for good; nothing to do is fine."""
    path.unlink(missing_ok=True)
    if path.parent.is_dir():
        sync_folder(path.parent)


def remove_hostile(folder: Path, name: str) -> None:
    """Remove a file where an unprivileged user writes; the folder above is root's. Of a link, the link itself goes."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.unlink(name, dir_fd=descriptor)
    except (FileNotFoundError, IsADirectoryError):
        pass
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(path: Path, *, mode: int, owner: int = -1, group: int = -1) -> None:
    """Make a folder of root's own tree, or set one right. -1 leaves owner or group as it is."""
    path.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        os.fchown(descriptor, owner, group)
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


def read_hostile(folder: Path, *names: str, limit: int) -> bytes:
    """Read a file that an unprivileged user wrote, `limit` bytes at most, following no link on the way from `folder`.

    Raises FileNotFoundError when it is not there, Invalid when it is not a regular file or too large.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(folder, flags | os.O_DIRECTORY)
    try:
        for name in names:
            try:
                inner = os.open(name, flags, dir_fd=descriptor)
            except FileNotFoundError:
                raise
            except OSError as error:
                raise Invalid(f"{name} in {folder} is not a regular file: {error.strerror}") from error
            os.close(descriptor)
            descriptor = inner
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Invalid(f"{names[-1]} in {folder} is not a regular file")
        chunks: list[bytes] = []
        size = 0
        while chunk := os.read(descriptor, 65536):
            size += len(chunk)
            if size > limit:
                raise Invalid(f"{names[-1]} in {folder} is larger than {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)
    finally:
        os.close(descriptor)
