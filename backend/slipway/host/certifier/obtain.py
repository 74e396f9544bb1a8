"""One certificate: a fresh key and request, then certbot, which proves to the authority whose name it is.

certbot is given a request (`--csr`), so that it keeps nothing but its account: no lineages that a cut of power could
leave half made.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from slipway.host.certifier import reasons
from slipway.host.certifier.order import CertificateOrder, CertificateResult

SECONDS = 200
LOGS_KEPT = 5


def carry_out(order: CertificateOrder) -> CertificateResult:
    secret = ec.generate_private_key(ec.SECP256R1())
    with TemporaryDirectory(dir=order.state) as folder:
        request, chain = Path(folder) / "request.pem", Path(folder) / "chain.pem"
        request.write_bytes(_request(order.hostname, secret))
        words = _certbot(order, request, chain)
        if reasons.ACCOUNT_UNKNOWN in words:  # the authority has forgotten it, or is another one by now
            shutil.rmtree(Path(order.state) / "config/accounts", ignore_errors=True)
            words = _certbot(order, request, chain)
        if not chain.exists():
            return CertificateResult(
                ok=False,
                reason=reasons.reason(words, order.hostname, order.server),
                not_before_seconds=reasons.wait_seconds(words),
            )
        return CertificateResult(ok=True, chain=chain.read_text(), key=_pem(secret))


def certbot_argv(order: CertificateOrder, request: Path, chain: Path) -> list[str]:
    """Source: `certbot --help all`, version 5."""
    state = Path(order.state)
    return [
        sys.executable, "-I", str(Path(sys.executable).with_name("certbot")),
        "certonly", "--non-interactive", "--agree-tos",
        "--webroot", f"--webroot-path={order.webroot}", f"--csr={request}",
        f"--fullchain-path={chain}", f"--cert-path={chain.with_name('leaf.pem')}",
        f"--chain-path={chain.with_name('intermediates.pem')}",
        f"--server={order.server}",
        f"--email={order.email}" if order.email else "--register-unsafely-without-email", "--no-eff-email",
        f"--config-dir={state / 'config'}", f"--work-dir={state / 'work'}", f"--logs-dir={state / 'logs'}",
        f"--max-log-backups={LOGS_KEPT}",
    ]  # fmt: skip


def _certbot(order: CertificateOrder, request: Path, chain: Path) -> str:
    """→ what it said; whether it went well is seen by the chain that it left."""
    environment = {"PATH": os.defpath, "LC_ALL": "C.UTF-8", "HOME": order.state, "REQUESTS_CA_BUNDLE": order.trusted}
    try:
        done = subprocess.run(
            certbot_argv(order, request, chain),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            env=environment, timeout=SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        return f"{(error.stdout or b'').decode(errors='replace')}\n{reasons.TOO_SLOW}"
    words = done.stdout.decode(errors="replace")
    print(words, flush=True)
    return f"{words}\n{_kinds_of_error(order)}"


def _kinds_of_error(order: CertificateOrder) -> str:
    """The authority's own names of what is wrong (RFC 8555, 6.7), which certbot writes to its log alone."""
    try:
        log = (Path(order.state) / "logs/letsencrypt.log").read_text(errors="replace")
    except FileNotFoundError:
        return ""
    return "\n".join(sorted(set(re.findall(r"urn:ietf:params:acme:error:(\w+)", log))))


def _request(hostname: str, secret: ec.EllipticCurvePrivateKey) -> bytes:
    """The name stands in the extension alone: a common name has room for 64 characters only."""
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(hostname)]), critical=False)
        .sign(secret, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def _pem(secret: ec.EllipticCurvePrivateKey) -> str:
    return secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
