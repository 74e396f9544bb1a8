"""A certificate of the installation's own making, for the panel and every app: nothing is sent in clear, ever."""

import os
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.settings import Settings

_DAYS = 3650
_SKEW = timedelta(hours=1)


def ensure(settings: Settings) -> None:
    """Make certificate.pem and key.pem (root's) where there are none. Kept as long as the folder: browsers remember."""
    certificate, key = settings.paths.tls / "certificate.pem", settings.paths.tls / "key.pem"
    if certificate.exists() and key.exists():
        return
    secret = ec.generate_private_key(ec.SECP256R1())
    private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    descriptor = os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(secret.private_bytes(*private))
    certificate.write_bytes(_sign(settings, secret).public_bytes(serialization.Encoding.PEM))


def names_own(tls: Path, hostname: str) -> Path:
    """Where the chain and key of a name lie that has a certificate of an authority."""
    return tls / "names" / f"{hostname}.pem"


def fingerprint(settings: Settings) -> str:
    """SHA-256 of certificate.pem, as browsers show it: 32 bytes in hex with colons."""
    certificate = x509.load_pem_x509_certificate((settings.paths.tls / "certificate.pem").read_bytes())
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _sign(settings: Settings, secret: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    http, now = settings.http, datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, http.panel)])
    names = sorted({http.panel, http.base_domain, f"*.{http.base_domain}"})
    alternatives = [*(x509.DNSName(one) for one in names), x509.IPAddress(ip_address(http.reached_at))]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(secret.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(secret, hashes.SHA256())
    )
