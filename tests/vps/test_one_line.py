"""What `curl … | sudo bash` makes of a bare Debian, and what `--uninstall` leaves of that."""

import re

from tests.vps.conftest import Installed
from tests.vps.outside import ask, base_of, deploy_hello, left
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
    again = server.run("bash", "-c", "cd / && /checkout/install.sh", timeout=600)
    assert again.returncode == 0, again.stderr
    assert "Repairing Slipway" in again.stderr
    assert "Installing" not in again.stderr
    assert server.json("apps", "list")[0]["name"] == "hello"
    assert ask(server, f"hello.{base_of(server)}")[0] == 200
    assert ask(server, base_of(server), "/sign-in")[0] == 200
    assert server.own_id() == own


def test_what_stays_on_a_server_repairs_it_and_changes_its_options(server: Server) -> None:
    server.must("rm", "/usr/local/bin/slipway")
    again = server.run("/opt/slipway/install.sh", "--email", "ann@example.org", timeout=600)
    assert again.returncode == 0, again.stderr
    assert "Repairing Slipway" in again.stderr
    assert 'email = "ann@example.org"' in server.must("cat", "/etc/slipway/slipway.toml")
    assert server.json("status")["ok"]


def test_its_last_words_say_whether_security_updates_install_themselves(installed: Installed, server: Server) -> None:
    command = "slipway system security-updates on"
    assert command in installed.said
    server.must(*command.split())
    assert command not in server.must("/opt/slipway/install.sh", timeout=600)


def test_after_uninstall_nothing_is_left_but_what_was_asked_to_stay(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    told = server.run("/opt/slipway/install.sh", "--uninstall").stderr
    assert "sudo /opt/slipway/install.sh --uninstall --with-data" in told
    kept = left(server)
    assert {re.sub(r"/[0-9a-f]{32}\.slipway-\w{4}-", "/…", path) for path in kept} == {
        "/etc/slipway", "/opt/slipway", "/srv/slipway", "/var/lib/slipway", "/var/log/slipway-install.log",
        "/var/log/journal/…apps", "/var/log/journal/…builds",
    }  # fmt: skip
    assert server.must("ls", "/opt/slipway").split() == ["install.sh", "packages"]
    server.must("bash", "-c", "cd / && /checkout/install.sh", timeout=600)
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app is live again")
    # In two steps: what the second needs is there after the first.
    server.must("/opt/slipway/install.sh", "--uninstall")
    told = server.run("/opt/slipway/install.sh", "--uninstall", "--with-data").stderr
    assert re.search(r"packages that were installed for it stay: .*nginx-light", told)
    assert left(server) == set()
    assert "slipway" not in server.must("getent", "passwd") + server.must("getent", "group")
    assert "slipway" not in server.must("nft", "list", "tables")
    assert "slipway" not in server.must("systemctl", "list-units", "--all", "--plain", "--no-legend")
