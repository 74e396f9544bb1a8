"""Reading a file that others append lines to and rotate away: by inode and offset, never twice and never torn."""

import os
from pathlib import Path
from typing import BinaryIO

import msgspec

LONGEST_LINE = 1024 * 1024
"""Bytes; what is longer has no end that is worth waiting for, and is dropped up to its end."""


class Position(msgspec.Struct, frozen=True):
    """Behind the last line that was given out."""

    inode: int
    offset: int


class GrowingFile:
    """Gives each whole line once. A line that is not finished waits for its end.

    A file that was rotated away is read on until it has been found finished in two looks, because its writer goes on
    writing to it for a moment. From a position of before, reading goes on in that very file, whatever its name is now.
    """

    def __init__(self, path: Path, start: Position | None = None) -> None:
        """Without `start`, at the present end of the file."""
        self._path = path
        self._start = start
        self._at_end = start is None
        self._file: BinaryIO | None = None
        self._offset = 0
        self._rest = b""
        self._dropping = False
        self._rotated = False

    @property
    def position(self) -> Position | None:
        """Where to go on after what `read` gave; None before the first file was found."""
        if self._file is None:
            return self._start
        return Position(os.fstat(self._file.fileno()).st_ino, self._offset)

    def behind(self) -> int:
        """Bytes that are there and were not read yet, of the file that is being read."""
        return 0 if self._file is None else os.fstat(self._file.fileno()).st_size - self._file.tell()

    def skip(self) -> None:
        """Leave out what is there: go on at the end."""
        if self._file is not None:
            self._offset, self._rest = self._file.seek(0, os.SEEK_END), b""

    def read(self, most: int) -> list[bytes]:
        """Lines without their ends, of the next `most` bytes; none when there is nothing new. Raises OSError."""
        if self._file is None:
            self._open()
        assert self._file is not None
        chunk = self._file.read(most)
        if not chunk:
            self._follow_rotation()
            return []
        self._rotated = False
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        self._offset = self._file.tell() - len(self._rest)
        if lines and self._dropping:
            del lines[0]
            self._dropping = False
        if len(self._rest) > LONGEST_LINE:
            self._rest, self._dropping = b"", True
            self._offset = self._file.tell()
        return lines

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _open(self) -> None:
        path, offset = self._path, 0
        if self._start is not None:
            path = self._find(self._start.inode) or self._path
        self._file = path.open("rb")
        status = os.fstat(self._file.fileno())
        if self._start is not None and status.st_ino == self._start.inode and self._start.offset <= status.st_size:
            offset = self._start.offset
        if self._at_end:
            offset = status.st_size
            self._at_end = False
        self._file.seek(offset)
        self._offset, self._rest = offset, b""

    def _find(self, inode: int) -> Path | None:
        """The file that has this inode now: the one that grows, or one that was rotated away."""
        for path in (self._path, *sorted(self._path.parent.glob(f"{self._path.name}.*"))):
            if path.stat().st_ino == inode:
                return path
        return None

    def _follow_rotation(self) -> None:
        """Where another file has taken the name: go to it, once a second look found no more in the old one."""
        assert self._file is not None
        own = os.fstat(self._file.fileno())
        if self._path.stat().st_ino == own.st_ino:
            if own.st_size < self._file.tell():  # emptied in place
                self._file.seek(0)
                self._offset, self._rest = 0, b""
            return
        if not self._rotated:
            self._rotated = True
            return
        self._file.close()
        self._file = self._path.open("rb")
        self._offset, self._rest, self._rotated, self._dropping = 0, b"", False, False
