"""Certificates of an authority, one for each hostname: when one is asked for, and what follows from how that ended."""

import ipaddress
import re
from datetime import datetime, timedelta
from enum import StrEnum

import msgspec

from slipway.settings import LETS_ENCRYPT, Settings

LONGEST_PAUSE = timedelta(days=1)
FIRST_PROMISE = timedelta(days=1)
_RESERVED = frozenset({"localhost", "local", "internal", "test", "example", "invalid", "lan", "home", "arpa", "onion"})
"""Top domains that no public authority certifies (RFC 6761, RFC 6762, RFC 8375, and common habit)."""
_ADDRESS_IN_NAME = re.compile(r"(?:\A|[.-])(\d{1,3}[.-]\d{1,3}[.-]\d{1,3}[.-]\d{1,3})\.[a-z]")


class CertificateState(StrEnum):
    WANTED = "wanted"
    OBTAINING = "obtaining"
    VALID = "valid"
    FAILED = "failed"


class Certificate(msgspec.Struct, frozen=True):
    """`state` is that of the last attempt: one that failed to be renewed is served until another has come."""

    id: int
    hostname: str
    environment_id: int | None
    """None: the panel's."""
    state: CertificateState
    reason: str | None
    failures: int
    """In a row."""
    tried_at: datetime | None
    next_try_at: datetime
    issuer: str | None
    serial: str | None
    not_before: datetime | None
    not_after: datetime | None
    digest: str | None
    """SHA-256 of its file; None: not known."""
    renewals: int

    def is_served(self, now: datetime) -> bool:
        """Whether browsers get one that they take."""
        return self.not_after is not None and self.not_after > now


class Served(msgspec.Struct, frozen=True):
    """An environment, and whether something answers under its name."""

    environment_id: int
    environment: str
    app_id: int
    app: str
    team_id: int
    is_served: bool


def renew_at(not_before: datetime, not_after: datetime, chance: float) -> datetime:
    """When a third of its life is left, or a little earlier: not all at once. `chance` is from 0 to 1."""
    return not_after - (not_after - not_before) / 3 * (1 + chance / 10)


def pause_after(failures: int, first: timedelta, left: timedelta | None, chance: float) -> timedelta:
    """Until the next attempt: twice as long after each failure, up to a day, a fifth more or less.

    `left` is what the one that is served has yet to live: it is tried again well before that is over.
    """
    pause: timedelta = min(first * 2 ** min(failures - 1, 20), LONGEST_PAUSE)
    if left is not None and left > timedelta():
        pause = min(pause, max(first, left / 3))
    return timedelta(seconds=pause.total_seconds() * (0.8 + 0.4 * chance))


def promise(certificate: Certificate | None, now: datetime) -> timedelta:
    """For how long browsers may be told to insist on one (HSTS, RFC 6797): never longer than this one is valid.

    The first is a promise of a day; once a renewal has worked, it is as long as the certificate at hand.
    """
    if certificate is None or certificate.not_after is None or certificate.not_after <= now:
        return timedelta()
    left = certificate.not_after - now
    return left if certificate.renewals else min(left, FIRST_PROMISE)


def why_none(settings: Settings) -> str | None:
    """Why no certificate is asked for at all, if none is."""
    http, own = settings.http, settings.certificates
    if not own.obtain:
        return "Turned off in the settings (certificates.obtain)."
    if not http.tls or http.plain_port is None:
        return "Without TLS and a port for plain HTTP there is nothing that an authority could look at."
    if own.acme_server == LETS_ENCRYPT:
        return _why_not_public(http.panel) or _why_not_public(http.base_domain)
    return None


def _why_not_public(name: str) -> str | None:
    if "." not in name or name.rpartition(".")[2] in _RESERVED:
        return f"{name} is not a public name. A private authority can be named in the settings (certificates)."
    found = _ADDRESS_IN_NAME.search(name)
    if found:
        address = found[1].replace("-", ".")
        try:
            if not ipaddress.ip_address(address).is_global:
                return f"{name} leads to {address}, which is no public address: no public authority can reach it."
        except ValueError:
            return None
    return None
