"""`python -I -m slipway.host.pair_checker PAIR HOSTNAME`: is this a certificate of that name, and its key?

Run as a user who can do nothing else: what it reads came over the network. Prints the certificate's facts as JSON and
ends with 0, or what is wrong with it and ends with 1.
"""

import sys
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from slipway.host.certifier.order import Facts

SKEW = timedelta(hours=1)
LEAST_RSA_BITS = 2048
LEAST_CURVE_BITS = 224
_SPKI = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class Unusable(Exception):
    """The message says what is wrong."""


def check(pair: bytes, hostname: str, now: datetime) -> Facts:
    """Raises Unusable unless nginx can serve the pair as this name, now."""
    try:
        chain = x509.load_pem_x509_certificates(pair)
        key = serialization.load_pem_private_key(pair[pair.rindex(b"-----BEGIN ") :], None)
    except (ValueError, TypeError) as error:
        raise Unusable(f"it cannot be read ({error}).") from error
    leaf = chain[0]
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise Unusable("its key is of a kind that browsers do not take.")
    if key.key_size < (LEAST_RSA_BITS if isinstance(key, rsa.RSAPrivateKey) else LEAST_CURVE_BITS):
        raise Unusable(f"its key of {key.key_size} bits is too short.")
    if leaf.public_key().public_bytes(*_SPKI) != key.public_key().public_bytes(*_SPKI):
        raise Unusable("its key belongs to another certificate.")
    if not any(_covers(name, hostname) for name in _names(leaf)):
        raise Unusable(f"it is not one of {hostname}.")
    if leaf.not_valid_before_utc > now + SKEW:
        raise Unusable(f"it is valid from {leaf.not_valid_before_utc:%Y-%m-%d %H:%M} on only; is the clock right?")
    if leaf.not_valid_after_utc <= now:
        raise Unusable(f"it was valid until {leaf.not_valid_after_utc:%Y-%m-%d %H:%M} only; is the clock right?")
    for below, above in pairwise(chain):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as error:
            raise Unusable("its chain is broken: one was not signed by the next.") from error
    return Facts(
        issuer=_issuer(leaf),
        serial=f"{leaf.serial_number:x}",
        not_before=leaf.not_valid_before_utc.timestamp(),
        not_after=leaf.not_valid_after_utc.timestamp(),
    )


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return extension.value.get_values_for_type(x509.DNSName)


def _covers(name: str, hostname: str) -> bool:
    """`*` stands for one label, the leftmost (RFC 9525, 6.3)."""
    if name.startswith("*."):
        return hostname.partition(".")[2] == name[2:].lower()
    return name.lower() == hostname


def _issuer(certificate: x509.Certificate) -> str:
    """As people know it: organisation and common name, as one printable line."""
    oids = (x509.NameOID.ORGANIZATION_NAME, x509.NameOID.COMMON_NAME)
    words = [str(part.value) for oid in oids for part in certificate.issuer.get_attributes_for_oid(oid)[:1]]
    text = " ".join(words) or certificate.issuer.rfc4514_string() or "an authority without a name"
    return "".join(character if character.isprintable() else " " for character in text)[:200]


def main(argv: list[str]) -> int:
    try:
        facts = check(Path(argv[1]).read_bytes(), argv[2], datetime.now(UTC))
    except Unusable as error:
        print(error)
        return 1
    print(msgspec.json.encode(facts).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
