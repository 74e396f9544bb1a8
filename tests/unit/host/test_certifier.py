"""certbot's command line, its words made plain, and what is believed of what it leaves."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID

from slipway.host.agent.certificates import _CHAIN, _KEY
from slipway.host.certifier import reasons
from slipway.host.certifier.obtain import certbot_argv
from slipway.host.certifier.order import CertificateOrder
from slipway.host.pair_checker import Unusable, check

NOW = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)
SERVER = "https://ca.example.org/directory"
PLAIN = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def order(email: str = "") -> CertificateOrder:
    return CertificateOrder(7, "a.example.org", SERVER, email, "/etc/ssl/all.pem", "/c/state", "/acme", "/c/results")


def test_certbot_is_given_a_request_and_keeps_everything_in_its_own_folder() -> None:
    argv = certbot_argv(order(), Path("/t/request.pem"), Path("/t/chain.pem"))
    assert argv[1] == "-I"
    assert argv[3:] == [
        "certonly", "--non-interactive", "--agree-tos", "--webroot", "--webroot-path=/acme", "--csr=/t/request.pem",
        "--fullchain-path=/t/chain.pem", "--cert-path=/t/leaf.pem", "--chain-path=/t/intermediates.pem",
        f"--server={SERVER}", "--register-unsafely-without-email", "--no-eff-email",
        "--config-dir=/c/state/config", "--work-dir=/c/state/work", "--logs-dir=/c/state/logs", "--max-log-backups=5",
    ]  # fmt: skip
    assert "--email=ann@example.org" in certbot_argv(order("ann@example.org"), Path("/r"), Path("/c"))


def problem(kind: str, detail: str) -> str:
    return f"reported these problems:\n  Identifier: h\n  Type:   {kind}\n  Detail: {detail}\n\nHint: …\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (problem("connection", "192.0.2.1: Timeout during connect"), "Port 80 of h cannot be reached from outside"),
        (problem("connection", "192.0.2.1: Timeout during connect"), "The authority said: 192.0.2.1: Timeout"),
        (problem("dns", "DNS problem: NXDOMAIN looking up A for h"), "cannot be resolved from outside"),
        (problem("connection", 'could not resolve URL "http://h/"'), "cannot be resolved from outside"),
        (problem("unauthorized", "Invalid response from http://h/: 404"), "found another server than this one"),
        (problem("caa", "CAA record for h prevents issuance"), "CAA record of h forbids"),
        (problem("new", "something"), "could not make sure that h is this server"),
        ("requests.exceptions.ConnectionError: Max retries exceeded", f"({SERVER}) cannot be reached from this server"),
        ("ConnectionError: … NameResolutionError(…)", "Check this server's name servers"),
        ("requests.exceptions.SSLError: … CERTIFICATE_VERIFY_FAILED", "certificates.trusted"),
        ("too many certificates already issued", "too many were asked for lately"),
        ("OSError: [Errno 28] No space left on device", "disk is full"),
        ("An unexpected error occurred:\nSomething new\nAsk for help at …\n", "a certificate for h: Something new"),
        ("", "it said nothing"),
    ],
)
def test_a_failure_is_told_in_plain_words(words: str, said: str) -> None:
    assert said in reasons.reason(words, "h", SERVER)


def test_an_authority_that_has_had_enough_is_left_alone_until_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway.clock.now", lambda: NOW)
    assert reasons.wait_seconds("too many certificates, retry after 2026-01-01 02:00:00 UTC: see …") == 7201
    assert reasons.wait_seconds("too many certificates, retry after 2025-12-31T23:00:00Z") == 0
    assert reasons.wait_seconds("rateLimited: retry after 2099-01-01 00:00:00") == 8 * 86400
    assert reasons.wait_seconds("There were too many requests of a given type") == 12 * 3600
    assert reasons.wait_seconds(problem("connection", "refused")) == 0


class Authority:
    """One that signs whatever it is asked to."""

    def __init__(self) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.ORGANIZATION_NAME, "A\nB")])
        self.certificate = self.sign(self.key.public_key(), "authority", subject=self.name, ca=True)

    def sign(
        self,
        key: ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey,
        name: str,
        *,
        subject: x509.Name | None = None,
        begins: timedelta = -DAY,
        ends: timedelta = DAY,
        ca: bool = False,
    ) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(subject or x509.Name([]))
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(0xABC)
            .not_valid_before(NOW + begins)
            .not_valid_after(NOW + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
            .sign(self.key, hashes.SHA256())
        )


def pem(*parts: x509.Certificate | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return b"".join(
        part.public_bytes(serialization.Encoding.PEM)
        if isinstance(part, x509.Certificate)
        else part.private_bytes(*PLAIN)
        for part in parts
    )


@pytest.fixture
def authority() -> Authority:
    return Authority()


@pytest.mark.parametrize("name", ["a.example.org", "*.example.org", "A.EXAMPLE.ORG"])
def test_a_certificate_of_the_name_with_its_key_is_taken(authority: Authority, name: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pair = pem(authority.sign(key.public_key(), name), authority.certificate, key)
    facts = check(pair, "a.example.org", NOW)
    assert facts.serial == "abc"
    assert facts.issuer == "A B"
    assert facts.not_after == (NOW + DAY).timestamp()


def test_what_is_not_that_is_refused_with_what_is_wrong(authority: Authority) -> None:
    key, other = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    odd = ed25519.Ed25519PrivateKey.generate()
    good = authority.sign(key.public_key(), "a.example.org")
    late = authority.sign(key.public_key(), "a.example.org", begins=DAY, ends=2 * DAY)
    over = authority.sign(key.public_key(), "a.example.org", begins=-2 * DAY, ends=-DAY)
    wider = authority.sign(key.public_key(), "*.b.example.org")
    for pair, said in (
        (pem(good, other), "belongs to another certificate"),
        (pem(authority.sign(key.public_key(), "b.example.org"), key), "it is not one of a.example.org"),
        (pem(wider, key), "it is not one of a.example.org"),
        (pem(late, key), "valid from"),
        (pem(over, key), "valid until"),
        (pem(good, Authority().certificate, key), "chain is broken"),
        (pem(authority.sign(odd.public_key(), "a.example.org"), odd), "browsers do not take"),
        (pem(good), "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n" + pem(key), "cannot be read"),
    ):
        with pytest.raises(Unusable, match=said):
            check(pair, "a.example.org", NOW)


def test_nothing_but_certificates_and_one_key_gets_near_nginx(authority: Authority) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    chain, secret = pem(authority.sign(key.public_key(), "a"), authority.certificate).decode(), pem(key).decode()
    assert _CHAIN.fullmatch(chain)
    assert _KEY.fullmatch(secret)
    for wrong in ("", f"words\n{chain}", chain + secret, chain * 5, chain.replace("-----END", "\n-----END", 1) + "x"):
        assert not _CHAIN.fullmatch(wrong), wrong[:60]
    encrypted = secret.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")
    for wrong in ("", encrypted, secret * 2, f"{secret}ssl_engine x;"):
        assert not _KEY.fullmatch(wrong), wrong[:60]
