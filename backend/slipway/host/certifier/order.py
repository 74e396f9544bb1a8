"""What one certificate is to be, and what came of it: JSON between the host agent and the certifier."""

import msgspec


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


MAX_RESULT_BYTES = 131_072


def result_name(number: int) -> str:
    return f"{number}.json"
