"""What `curl … | sudo bash` makes of a bare Debian, and what `--uninstall` leaves of that."""

import re

from tests.vps.conftest import Installed
from tests.vps.outside import ask, base_of, deploy_hello
from tests.vps.servers import Server


def test_it_says_where_the_panel_is_and_what_its_certificate_looks_like(installed: Installed, server: Server) -> None:
    base = base_of(server)
    assert f"https://{base}" in installed.said
    shown = server.must(
        "openssl", "x509", "-in", "/etc/slipway/tls/certificate.pem", "-noout", "-fingerprint", "-sha256"
    )
    assert shown.strip().partition("=")[2] in installed.said


def test_the_setup_link_makes_an_account_once(installed: Installed, server: Server) -> None:
    found = re.search(r"https://\S+(/setup/\S+)", installed.said)
    assert found is not None
    status, page = ask(server, base_of(server), found[1])
    assert status == 200
    token = re.search(r'name="csrf" value="([^"]+)"', page)
    fields = ["-d", "name=Ada", "-d", "email=ada@example.com", "-d", "password=correct horse battery"]
    if token:
        fields += ["-d", f"csrf={token[1]}"]
    post = [*fields, "-H", f"Origin: https://{base_of(server)}", "-i"]
    assert ask(server, base_of(server), found[1], *post)[0] == 303
    assert ask(server, base_of(server), found[1], *post)[0] in (404, 410)
    assert server.json("status")["has_accounts"]


def test_nothing_is_sent_in_clear_and_unknown_names_get_nothing(server: Server) -> None:
    status, _ = ask(server, base_of(server), "/sign-in", scheme="http")
    assert status == 308
    assert ask(server, "somebody.else.example", "/")[0] == 0


def test_a_second_run_mends_what_is_broken_and_keeps_what_is_there(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    own = server.own_id()
    server.must(
        "rm",
        f"/etc/systemd/system/slipway-{own}-host.socket",
        "/usr/local/bin/slipway",
        "/etc/slipway/nginx/panel.conf",
    )
    server.must("bash", "-c", "cd / && /checkout/install.sh", timeout=600)
    assert server.json("apps", "list")[0]["name"] == "hello"
    assert ask(server, f"hello.{base_of(server)}")[0] == 200
    assert ask(server, base_of(server), "/sign-in")[0] == 200
    assert server.own_id() == own


def test_after_uninstall_nothing_is_left_but_what_was_asked_to_stay(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.must("bash", "-c", "cd / && /checkout/install.sh --uninstall", timeout=120)
    kept = left(server)
    assert {re.sub(r"/[0-9a-f]{32}\.slipway-\w{4}-", "/…", path) for path in kept} == {
        "/etc/slipway", "/srv/slipway", "/var/lib/slipway", "/var/log/slipway-install.log",
        "/var/log/journal/…apps", "/var/log/journal/…builds",
    }  # fmt: skip
    server.must("bash", "-c", "cd / && /checkout/install.sh", timeout=600)
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app is live again")
    server.must("bash", "-c", "cd / && /checkout/install.sh --uninstall --with-data", timeout=120)
    assert left(server) == {"/var/log/slipway-install.log"}
    assert "slipway" not in server.must("getent", "passwd") + server.must("getent", "group")
    assert "slipway" not in server.must("nft", "list", "tables")
    assert "slipway" not in server.must("systemctl", "list-units", "--all", "--plain", "--no-legend")


def left(server: Server) -> set[str]:
    """Files and folders of Slipway's, the topmost only."""
    search = "find / -xdev \\( -path /proc -o -path /sys -o -path /checkout -o -path /usr/share \\) -prune "
    found = server.must("bash", "-c", search + "-o -iname '*slipway*' -print")
    paths = sorted(found.split())
    return {path for path in paths if not any(path.startswith(f"{other}/") for other in paths)}
