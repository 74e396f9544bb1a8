"""How moments, spans, sizes and addresses are written on pages. `ui/scripts/times.js` uses the same words."""

import hashlib
import re
from datetime import datetime
from urllib.parse import urlsplit

from jinja2 import Environment
from markupsafe import Markup, escape

from slipway import clock
from slipway.web import assets


def ago(moment: datetime) -> str:
    """How long ago: `just now`, `5 min ago`, `3 d ago`."""
    seconds = (clock.now() - moment).total_seconds()
    if seconds < 10:
        return "just now"
    return f"{_largest_unit(seconds)} ago"


def until(moment: datetime) -> str:
    """How long yet: `for 59 min`."""
    seconds = (moment - clock.now()).total_seconds()
    return f"for {_largest_unit(seconds)}" if seconds >= 1 else "for a moment"


def duration(seconds: float) -> str:
    """A span: `0.4 s`, `48 s`, `3 min 2 s`, `1 h 5 min`."""
    if seconds < 10:
        return f"{max(0.0, seconds):.1f} s"
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: int) -> str:
    """Bytes: `12.3 MiB`, from ten of them on `14.2 GiB`."""
    mebibytes = count / 2**20
    return f"{mebibytes:,.1f} MiB" if mebibytes < 10 * 1024 else f"{mebibytes / 1024:,.1f} GiB"


def hostname(url: str) -> str:
    """An address as people say it: without its scheme."""
    return urlsplit(url).netloc


def repository(address: str) -> str:
    """A repository's address without what goes without saying."""
    return address.removeprefix("https://").removesuffix(".git")


def breakable(address: str) -> Markup:
    """An address that may be broken before a dot, a slash or its port, so that these stay whole."""
    return Markup(re.sub(r"(?<![:/])([./]|:(?=\d))", r"<wbr>\1", str(escape(address))))  # noqa: S704 - escaped


def with_code(message: str) -> Markup:
    """A message whose `backticks` are code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(message))))  # noqa: S704 - escaped


def fingerprint(value: str | None) -> str:
    """Tells whether a field of a form still holds what it was drawn with."""
    return hashlib.sha256((value or "").replace("\r\n", "\n").encode()).hexdigest()


def register(environment: Environment) -> None:
    """Give the templates these words, icons and the addresses of assets."""
    environment.filters.update(
        ago=ago,
        until=until,
        duration=duration,
        size=size,
        hostname=hostname,
        repository=repository,
        breakable=breakable,
        with_code=with_code,
        fingerprint=fingerprint,
    )
    environment.globals.update(icon=assets.icon, asset=lambda name: assets.load().address(name))


def _largest_unit(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds)} s"
