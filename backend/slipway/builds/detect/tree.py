"""Reads a checkout that may have been made to hurt: nothing outside of it, nothing without a limit."""

import json
import os
import stat
import tomllib
from pathlib import Path, PurePosixPath
from typing import Any

from slipway.errors import SlipwayError

MAX_TEXT = 1024 * 1024
MAX_NAMES = 2000
"""Of one folder. A folder with more is looked at in part."""


class CannotBuild(SlipwayError):
    """This tree cannot be built as it is. The message says what to change in it."""

    code = "cannot-build"
    status = 422


class Tree:
    """A folder of a checkout, asked with paths relative to it.

    `root` is the whole checkout: links may lead to another place in it, and are taken as absent when they lead out.
    """

    def __init__(self, root: Path, base: str = "") -> None:
        self._root = Path(os.path.realpath(root))
        self.path = self._base(base)

    def _base(self, base: str) -> Path:
        if not base:
            return self._root
        path = Path(os.path.realpath(self._root / base))
        if not path.is_relative_to(self._root):
            raise CannotBuild(
                f"The base directory {base} is a link that leads out of the repository. "
                "Choose a folder that is inside it."
            )
        if not path.is_dir():
            raise CannotBuild(
                f"There is no folder {base} in this commit. Correct the app's base directory, "
                "or leave it empty if the app is at the repository's root."
            )
        return path

    def has_file(self, name: str) -> bool:
        path = self._inside(name)
        return path is not None and path.is_file()

    def has_folder(self, name: str) -> bool:
        path = self._inside(name)
        return path is not None and path.is_dir()

    def first_file(self, *names: str) -> str | None:
        return next((name for name in names if self.has_file(name)), None)

    def names(self, folder: str = "") -> list[str]:
        """The names in a folder, sorted; none if it is not there."""
        path = self._inside(folder)
        if path is None or not path.is_dir():
            return []
        names = []
        with os.scandir(path) as entries:
            for entry in entries:
                names.append(entry.name)
                if len(names) == MAX_NAMES:
                    break
        return sorted(names)

    def folders(self, folder: str = "") -> list[str]:
        """The folders in a folder, as paths from here, without hidden ones and links."""
        paths = [str(PurePosixPath(folder, name)) for name in self.names(folder) if not name.startswith(".")]
        return [path for path in paths if self.has_folder(path) and not (self.path / path).is_symlink()]

    def text(self, name: str, limit: int = MAX_TEXT) -> str | None:
        """A file's text; None if it is not there. Raises CannotBuild if it is too large or no text."""
        path = self._inside(name)
        if path is None:
            return None
        try:
            with open(path, "rb", opener=_open_without_waiting) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    return None
                content = file.read(limit + 1)
        except OSError:
            return None
        if len(content) > limit:
            raise CannotBuild(f"{name} is larger than {limit // 1024} KiB; that cannot be right for such a file.")
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise CannotBuild(f"{name} is not a UTF-8 text file. Save it as UTF-8.") from error

    def text_if_readable(self, name: str) -> str:
        """A file's text, or nothing: for a hint, where a strange file is no reason to fail."""
        try:
            return self.text(name) or ""
        except CannotBuild:
            return ""

    def json_object(self, name: str) -> dict[str, Any] | None:
        """A JSON file that holds an object; None if it is not there. Raises CannotBuild if it is something else."""
        text = self.text(name)
        if text is None:
            return None
        try:
            value = json.loads(text)
        except json.JSONDecodeError as error:
            raise CannotBuild(f"{name} is not JSON: line {error.lineno}, {error.msg}.") from error
        except RecursionError as error:
            raise CannotBuild(f"{name} is nested too deeply to be read.") from error
        except ValueError as error:
            raise CannotBuild(f"{name} is not JSON that can be read: {error}.") from error
        if not isinstance(value, dict):
            raise CannotBuild(f"{name} must hold a JSON object, {{…}}.")
        return value

    def toml(self, name: str) -> dict[str, Any] | None:
        """A TOML file; None if it is not there. Raises CannotBuild if it cannot be read."""
        text = self.text(name)
        if text is None:
            return None
        try:
            return tomllib.loads(text)
        except RecursionError as error:
            raise CannotBuild(f"{name} is nested too deeply to be read.") from error
        except ValueError as error:
            raise CannotBuild(f"{name} is not TOML: {error}.") from error

    def _inside(self, name: str) -> Path | None:
        try:
            path = Path(os.path.realpath(self.path / name))
        except (OSError, ValueError):
            return None
        return path if path.is_relative_to(self._root) else None


def _open_without_waiting(path: str, flags: int) -> int:
    """A checkout holds no pipes, but a build may be asked again about what its commands made."""
    return os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY)


def table(value: object) -> dict[str, Any]:
    """A value of a foreign file where an object should be: that object, or an empty one."""
    return value if isinstance(value, dict) else {}


def string(value: object) -> str | None:
    """A value of a foreign file where a text should be: that text, or None."""
    return value if isinstance(value, str) else None
