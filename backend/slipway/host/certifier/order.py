"""What one certificate is to be, and what came of it: JSON between the host agent and the certifier."""

from typing import Annotated

import msgspec

LAST_MOMENT = 253402300799
"""The end of the year 9999."""


class CertificateOrder(msgspec.Struct, frozen=True):
    """Written by root, read by certbot's user."""

    id: int
    hostname: str
    server: str
    """The directory of an authority that speaks ACME (RFC 8555)."""
    email: str
    """Where the authority writes to; empty: nowhere."""
    trusted: str
    """A file with the certificate authorities that are believed when the server itself is asked."""
    state: str
    """A folder of certbot's user: its account at the authority, its logs."""
    webroot: str
    """What nginx serves over plain HTTP below /.well-known/acme-challenge/."""
    results: str


class CertificateResult(msgspec.Struct, frozen=True):
    """Written by certbot's user into the folder of results, as `<id>.json`; nothing in it is trusted."""

    ok: bool
    chain: str = ""
    """PEM, the certificate itself first."""
    key: str = ""
    reason: str | None = None
    not_before_seconds: int = 0
    """The authority wants to be left alone for so long."""


class Facts(msgspec.Struct, frozen=True):
    """Of a certificate that was checked. Times are in seconds since the epoch."""

    issuer: Annotated[str, msgspec.Meta(max_length=200)]
    serial: Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{1,64}\Z")]
    not_before: Annotated[float, msgspec.Meta(ge=0, le=LAST_MOMENT)]
    not_after: Annotated[float, msgspec.Meta(ge=0, le=LAST_MOMENT)]


MAX_RESULT_BYTES = 131_072


def result_name(number: int) -> str:
    return f"{number}.json"
