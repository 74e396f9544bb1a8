"""Renders units and sites. Every value that reaches their text passes one allow-list; nothing is ever escaped."""

import re
from pathlib import Path

import jinja2

from slipway.errors import Invalid

_PLAIN = re.compile(r"[A-Za-z0-9@._/:+=,-]*")


class Words:
    """Several plain values side by side, each checked alone, so that a space can never come from a value."""

    def __init__(self, *words: object) -> None:
        self.text = " ".join(str(plain(word)) for word in words)


def plain(value: object) -> object:
    """Let a value into a unit or site, if it cannot mean anything but itself there. Raises Invalid."""
    if isinstance(value, Words):
        return value.text
    text = str(value)
    if not _PLAIN.fullmatch(text):
        raise Invalid(f"{text[:80]!r} cannot stand in a unit or site: only letters, digits and @ . _ / : + = , - can")
    return text


class Templates:
    """The templates of this release of Slipway, from a folder that belongs to root."""

    def __init__(self, folder: Path) -> None:
        self._jinja = jinja2.Environment(  # noqa: S701  not HTML; `plain` is the guard
            loader=jinja2.FileSystemLoader(folder),
            undefined=jinja2.StrictUndefined,
            finalize=plain,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            auto_reload=False,
        )

    def render(self, name: str, **context: object) -> str:
        return self._jinja.get_template(name).render(context)
