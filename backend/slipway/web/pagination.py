"""Pages of a list: an opaque cursor says where the next one begins."""

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Annotated, Generic, TypeVar

import msgspec
from litestar.params import QueryParameter

from slipway.errors import Invalid

T = TypeVar("T")
K = TypeVar("K", int, str)

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
MAX_KEY = 2**62
"""Of ids, so that PostgreSQL takes it for one."""

Limit = Annotated[int, QueryParameter(ge=1, le=MAX_LIMIT, description="How many items to give, at most 100.")]
Cursor = Annotated[str | None, QueryParameter(max_length=200, description="`next` of the page before.")]


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some items of a list. `next` is null on the last page."""

    items: list[T]
    next: str | None


def page(found: Sequence[T], limit: int, key: Callable[[T], int | str]) -> Page[T]:
    """Make a page of what was found when `limit + 1` items were asked for; `key` is what the next page starts after."""
    items = list(found[:limit])
    more = len(found) > limit
    return Page(items, encode_cursor(key(items[-1])) if more else None)


def encode_cursor(key: int | str) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(key)).rstrip(b"=").decode()


def decode_cursor(cursor: str | None, kind: type[K]) -> K | None:
    """The key that a cursor holds. Raises Invalid for one that was not given out by `encode_cursor`."""
    if cursor is None:
        return None
    try:
        key = msgspec.json.decode(
            base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True), type=kind
        )
        if (not 0 <= key <= MAX_KEY) if isinstance(key, int) else "\0" in key:
            raise ValueError("no key is so")
        return key
    except (binascii.Error, ValueError) as error:
        raise Invalid("This cursor was not given out here; begin without one.", field="cursor") from error
