"""What the browser loads: our styles, scripts and images, and what they need from npm, from a fixed list.

The address of a file holds a fingerprint of them all (`/assets/<fingerprint>/<name>`), so that it may be kept for
ever, and scripts find each other by relative addresses.
"""

import hashlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import msgspec
from litestar import Response, get
from markupsafe import Markup

from slipway.errors import NotFound, Unavailable
from slipway.web.policies import Policy

UI = Path(__file__).resolve().parents[3] / "ui"
"""`ui/` lies beside `backend/`, in a release and in a checkout."""
MODULES = UI / "node_modules"
FROM_NPM = {
    "htmx.js": MODULES / "htmx.org/dist/htmx.min.js",
    "idiomorph.js": MODULES / "idiomorph/dist/idiomorph-ext.min.js",
}
ICONS = MODULES / "@primer/octicons/build/svg"
OURS = {"styles": ".css", "scripts": ".js", "images": ".svg"}
MEDIA_TYPES = {
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
FOR_EVER = "public, max-age=31536000, immutable"
_ICON = re.compile(r"[a-z][a-z-]{0,40}\Z")


class Assets(msgspec.Struct, frozen=True):
    fingerprint: str
    files: Mapping[str, bytes]

    def address(self, name: str) -> str:
        """Where the browser gets a file. Raises NotFound for one that is not served."""
        if name not in self.files:
            raise NotFound(f"There is no asset {name!r}.")
        return f"/assets/{self.fingerprint}/{name}"


@cache
def load() -> Assets:
    """Read all files, once. Raises Unavailable where npm's are not installed."""
    paths = dict(FROM_NPM)
    for folder, suffix in OURS.items():
        paths |= {f"{folder}/{path.name}": path for path in sorted((UI / folder).glob(f"*{suffix}"))}
    try:
        files = {name: path.read_bytes() for name, path in paths.items()}
    except OSError as error:
        raise _incomplete(error) from error
    digest = hashlib.sha256()
    for name, content in files.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return Assets(digest.hexdigest()[:16], files)


@get("/assets/{fingerprint:str}/{name:path}", policy=Policy.PUBLIC, include_in_schema=False, sync_to_thread=False)
def show_asset(fingerprint: str, name: str) -> Response[bytes]:
    """One file. A page from before an update gets today's, and must ask again next time."""
    assets = load()
    content = assets.files.get(name.removeprefix("/"))
    if content is None:
        raise NotFound("There is nothing at this address.")
    kept = FOR_EVER if fingerprint == assets.fingerprint else "no-cache"
    return Response(content, media_type=MEDIA_TYPES[Path(name).suffix], headers={"cache-control": kept})


@cache
def icon(name: str, look: str = "", size: int = 16) -> Markup:
    """An icon's SVG, hidden from screen readers: words always stand beside it. `size` is 16 or 24."""
    if not _ICON.match(name) or size not in (16, 24):
        raise NotFound(f"There is no icon {name!r}.")
    try:
        svg = (ICONS / f"{name}-{size}.svg").read_text()
    except OSError as error:
        raise _incomplete(error) from error
    attributes = f'<svg aria-hidden="true" class="{look}" ' if look else '<svg aria-hidden="true" '
    # A file of a package that the lock file pins, and a class that a template names.
    return Markup(svg.replace("<svg ", attributes, 1))  # noqa: S704


def _incomplete(error: OSError) -> Unavailable:
    return Unavailable(
        f"The pages are not complete: {error.filename} cannot be read ({error.strerror}). "
        "Run `npm ci --ignore-scripts` in ui/."
    )
