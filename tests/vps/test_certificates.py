"""A server's own names get certificates that somebody outside believes. (How that goes wrong is tested in a box.)"""

import subprocess
from collections.abc import Iterator

import pytest

from tests.acme import Acme
from tests.vps.outside import agrees, base_of, deploy_hello
from tests.vps.servers import Server

PORTS = (8014, 8015, 8053, 8055)
"""Below those of apps, which the firewall keeps certbot from, too."""
NAMES = "/etc/slipway/tls/names"


@pytest.fixture
def authority(server: Server) -> Iterator[Acme]:
    """Beside the server, which was told of it by its installer; the server's administrator trusts it."""
    one = Acme(PORTS, http_port=80, enter=("nsenter", f"--net={server.network.path}", "--"))
    try:
        one.start()
        server.put("/usr/local/share/ca-certificates/acme.crt", one.trusted.read_text())
        server.must("update-ca-certificates")
        server.must("sh", "-c", "getent hosts localhost || echo 127.0.0.1 localhost >>/etc/hosts")
        command = f"cd / && /checkout/install.sh --acme-server {one.url} --email ann@example.org"
        server.must("bash", "-c", command, timeout=600)
        yield one
    finally:
        one.end()


def believed(server: Server, authority: Acme, hostname: str, path: str) -> bool:
    """Asked from outside, by somebody who trusts the authority and nobody else."""
    curl = ["curl", "-sS", "--fail", "--max-time", "10", "--cacert", str(authority.root), "-o", "/dev/null"]
    asked = [*curl, "--resolve", f"{hostname}:443:{server.address}", f"https://{hostname}{path}"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def await_believed(server: Server, authority: Acme, hostname: str, path: str) -> None:
    try:
        server.until(lambda: believed(server, authority, hostname, path), f"{hostname} is believed", 240)
    except AssertionError as error:
        stands = server.run("slipway", "certificates", "list").stdout
        raise AssertionError(f"{error}\n{stands}\n{authority.said()[-4000:]}") from error


def test_panel_and_app_get_certificates_that_outlive_a_reboot_and_go_with_the_app(
    server: Server, hello: str, authority: Acme
) -> None:
    panel = base_of(server)
    app = f"hello.{panel}"
    await_believed(server, authority, panel, "/api/ping")
    assert server.json("status")["certificate"]["served"]
    deploy_hello(server, hello)
    await_believed(server, authority, app, "/")
    agrees(server)

    server.reboot()
    await_believed(server, authority, app, "/")
    await_believed(server, authority, panel, "/api/ping")
    agrees(server)
    said = server.must("bash", "-c", "cd / && /checkout/install.sh", timeout=600)
    assert "of its own making" not in said
    assert believed(server, authority, panel, "/api/ping")

    listed = server.must("ls", "-ln", NAMES)
    assert listed.count("-rw------- 1 0 0") == 2, listed
    for path in (f"{NAMES}/{app}.pem", "/etc/slipway/key", "/etc/shadow"):
        assert server.run("runuser", "-u", "slipway-certbot", "--", "cat", path).returncode != 0
    asked = server.run("runuser", "-u", "slipway-certbot", "--", "touch", "/etc/slipway/nginx/certificates/x.conf")
    assert asked.returncode != 0

    server.must("slipway", "apps", "delete", "hello", "--yes", "--wait")
    server.until(lambda: app not in server.must("ls", NAMES), "its certificate is gone")
    assert believed(server, authority, panel, "/api/ping")


def test_of_a_private_address_no_public_authority_is_asked_and_status_says_so(server: Server) -> None:
    shown = server.json("status")["certificate"]
    assert (shown["state"], shown["served"]) == ("off", False)
    assert f"{server.address}, which is no public address" in shown["reason"]
    assert "no public address" in server.must("slipway", "status")
