"""What the host agent believes of a certificate that certbot's user left: whoever is that user may be taken over."""

import datetime
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.integration.host.conftest import Rig, numbers

from slipway.errors import HostRefused
from slipway.host.certifier.order import MAX_RESULT_BYTES, CertificateResult, result_name
from slipway.host.protocol import (
    Compare,
    DriftKind,
    FindWork,
    InstallCertificate,
    ObtainCertificate,
    RemoveCertificate,
    StopWork,
    WantedCertificate,
    WorkKind,
    WorkState,
)

PLAIN = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()


def made(hostname: str, *, ends: datetime.timedelta = datetime.timedelta(days=1)) -> CertificateResult:
    """A certificate of a name, signed by itself, with its key."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=2))
        .not_valid_after(now + ends)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=True)
        .sign(key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM).decode()
    return CertificateResult(ok=True, chain=chain, key=key.private_bytes(*PLAIN).decode())


class Left:
    """What lies in certbot's folder, and what of it reaches nginx."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.number = next(numbers)
        self.hostname = f"c{self.number}.localhost"
        etc = rig.state / "etc/slipway"
        self.pem = etc / f"tls/names/{self.hostname}.pem"
        self.snippet = etc / f"nginx/certificates/{self.hostname}.conf"
        self.file = rig.state / "var/lib/slipway/certbot/results" / result_name(self.number)

    def leave(self, result: CertificateResult | bytes) -> None:
        self.file.unlink(missing_ok=True)
        self.file.write_bytes(result if isinstance(result, bytes) else msgspec.json.encode(result))

    async def install(self) -> None:
        await self.rig.host.call(InstallCertificate(self.number, self.hostname))


@pytest.fixture
def left(rig: Rig) -> Iterator[Left]:
    one = Left(rig)
    yield one
    for file in (one.snippet, one.pem, one.file):
        file.unlink(missing_ok=True)


async def test_a_good_one_is_put_where_nginx_reads_it_and_removed_again(rig: Rig, left: Left) -> None:
    result = made(left.hostname)
    left.leave(result)
    await left.install()
    assert left.pem.read_text() == result.chain + result.key
    assert left.pem.stat().st_mode & 0o777 == 0o600
    there = WantedCertificate(left.hostname, is_there=True)
    found = await rig.host.call(Compare((), certificates=(there,)))
    assert [one for one in found.entries if left.hostname in one.where] == []
    await rig.host.call(StopWork(WorkKind.CERTIFICATE, left.number))
    assert not left.file.exists()
    await rig.host.call(RemoveCertificate(left.hostname))
    found = await rig.host.call(Compare((), certificates=(there,)))
    assert [one.kind for one in found.entries if left.hostname in one.where] == [DriftKind.MISSING]
    assert not left.pem.exists()
    assert not left.snippet.exists()
    await rig.host.call(RemoveCertificate(left.hostname))


@pytest.mark.parametrize(
    ("hostile", "said"),
    [
        (lambda name: made("other.localhost"), "it is not one of"),
        (lambda name: made(name, ends=-datetime.timedelta(hours=1)), "valid until"),
        (lambda name: msgspec.structs.replace(made(name), key=made(name).key), "belongs to another certificate"),
        (lambda name: msgspec.structs.replace(made(name), key=""), "not a chain of certificates and a key"),
        (lambda name: msgspec.structs.replace(made(name), chain="ssl_engine x;"), "not a chain"),
        (lambda name: CertificateResult(ok=False, reason="no"), "not a chain"),
        (lambda name: b"{", "no certificate to be installed"),
        (lambda name: b"x" * (MAX_RESULT_BYTES + 1), "larger than"),
    ],
)
async def test_anything_else_is_refused_and_the_one_before_stays(
    rig: Rig, left: Left, hostile: object, said: str
) -> None:
    left.leave(made(left.hostname))
    await left.install()
    before, shown = left.pem.read_text(), left.snippet.read_text()
    left.leave(hostile(left.hostname))  # type: ignore[operator]
    with pytest.raises(HostRefused, match=said):
        await left.install()
    assert left.pem.read_text() == before
    assert left.snippet.read_text() == shown
    assert list((rig.state / "run/slipway/orders").glob("*check-certificate*")) == [], "no key is left lying about"


@pytest.mark.parametrize("kind", ["link", "folder", "fifo"])
async def test_no_link_of_certbots_user_is_followed_by_root(left: Left, kind: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_bytes(msgspec.json.encode(made(left.hostname)))
    match kind:
        case "link":
            left.file.symlink_to(kept)
        case "folder":
            left.file.mkdir()
        case "fifo":
            os.mkfifo(left.file)
    with pytest.raises(HostRefused, match="not a regular file"):
        await left.install()
    await left.rig.host.call(StopWork(WorkKind.CERTIFICATE, left.number))
    assert kept.exists()
    assert not left.pem.exists()
    if kind == "folder":
        left.file.rmdir()


@pytest.mark.parametrize("hostname", ["../x", "a/b", "-a", "a..b", "A", "*.a", "a b"])
async def test_what_is_no_host_name_is_refused_before_anything_is_done(rig: Rig, hostname: str) -> None:
    number = next(numbers)
    for verb in (
        ObtainCertificate(number, hostname),
        InstallCertificate(number, hostname),
        RemoveCertificate(hostname),
    ):
        with pytest.raises(HostRefused):
            await rig.host.call(verb)
    assert (await rig.host.call(FindWork(WorkKind.CERTIFICATE, number))).state is WorkState.UNKNOWN
