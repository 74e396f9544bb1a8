"""Names and tokens: their grammar, and how new ones are made."""

import hashlib
import re
import secrets

from slipway.errors import Invalid

_NAME = re.compile(r"[a-z](?:[a-z0-9]|-(?!-)){0,28}[a-z0-9]\Z")
RESERVED = frozenset({"new", "environments"})
"""Words that stand in the pages' addresses where a name could."""


def app_name(value: str) -> str:
    """Check an app's or environment's name: 2 to 30 of a-z, 0-9 and single dashes; it becomes a part of a hostname."""
    if not _NAME.match(value):
        raise Invalid(
            "A name has 2 to 30 characters: small letters, digits and single dashes; "
            "it begins with a letter and ends with a letter or digit.",
            field="name",
        )
    if value in RESERVED:
        raise Invalid(f"{value!r} is a word that the pages' addresses use; choose another name.", field="name")
    return value


def new_token(prefix: str = "") -> str:
    """A secret of 256 bits, URL-safe, shown once; only `token_hash` of it is stored."""
    return prefix + secrets.token_urlsafe(32)


def token_hash(token: str) -> bytes:
    """SHA-256: enough for a secret that was random to begin with."""
    return hashlib.sha256(token.encode()).digest()
