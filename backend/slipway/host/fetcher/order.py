"""What one fetch is to do, and what came of it: JSON between the host agent and the fetcher."""

import msgspec


class FetchOrder(msgspec.Struct, frozen=True):
    """Written by root, read by the fetch user."""

    id: int
    mirror: str
    """The bare repository's folder; it exists and belongs to the fetch user."""
    source: str
    """An address that `slipway.repository` accepted, or a path at which the repository can be read."""
    protocols: tuple[str, ...]
    """Git's transports that may be used: every other one is refused by Git itself."""
    branch: str
    commit: str | None
    max_bytes: int
    """The mirror may not be larger, nor any file that Git writes: that ends a pack that would fill the disk."""


class FetchResult(msgspec.Struct, frozen=True):
    """Written by the fetch user into the mirror, as `slipway/<id>.json`; nothing in it is trusted."""

    ok: bool
    reason: str | None = None
    limit: str | None = None
    commit: str | None = None
    subject: str = ""
    author: str = ""


RESULT_FOLDER = "slipway"


def result_name(number: int) -> str:
    return f"{number}.json"
