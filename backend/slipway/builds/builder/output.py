"""What a build says: Slipway's own lines and the output of what it runs, counted and cut at a limit."""

import os

from slipway.plan import END_OF_LOG

_MARK = b"\x1e"


class LogLimitReached(Exception):
    """The build wrote more than it may."""


class Output:
    """Writes to a file descriptor, unbuffered: a line is seen when it is written."""

    def __init__(self, descriptor: int, limit: int) -> None:
        self._descriptor = descriptor
        self._left = limit
        self._limit = limit
        self._at_line_start = True

    @property
    def limit(self) -> int:
        return self._limit

    def say(self, line: str) -> None:
        """One line of Slipway's own. It counts too, but is never what ends the build."""
        self._end_line()
        self._write(line.encode("utf-8", "replace").replace(_MARK, b"?") + b"\n")

    def pass_on(self, chunk: bytes) -> None:
        """Output of what the build runs. Raises LogLimitReached after writing what still fits."""
        fits = chunk[: max(self._left, 0)]
        # Only Slipway may say that the log ends.
        self._write(fits.replace(_MARK, b"?"))
        if len(fits) < len(chunk):
            raise LogLimitReached

    def end(self) -> None:
        """The last line, after which nothing comes."""
        self._end_line()
        self._write(END_OF_LOG.encode() + b"\n")

    def _end_line(self) -> None:
        if not self._at_line_start:
            self._write(b"\n")

    def _write(self, content: bytes) -> None:
        self._left -= len(content)
        if content:
            self._at_line_start = content.endswith(b"\n")
        view = memoryview(content)
        while view:
            view = view[os.write(self._descriptor, view) :]
