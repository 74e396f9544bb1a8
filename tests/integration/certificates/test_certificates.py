"""Certificates of an authority, in a box: real certbot, a real authority, and what comes between them."""

import itertools
import socket
import ssl
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from tests.integration.certificates.conftest import BASE, Certified
from tests.integration.deployments.helpers import Repository, until

from slipway.clock import now

numbers = itertools.count(1)
UNTRUSTED = 60
"""curl's exit status where nobody it trusts signed the certificate."""


@pytest.fixture
def live(certified: Certified) -> Iterator[str]:
    """The name of an app to be made; deleted afterwards."""
    name = f"app{next(numbers)}"
    yield name
    certified.box.slipway("apps", "delete", name, "--yes", "--wait")


def go_live(certified: Certified, name: str, folder: Path) -> str:
    """→ the hostname."""
    repository = Repository(folder / name)
    certified.api("POST", "/apps", {"name": name, "repository": str(repository.folder)})
    done = certified.box.slipway("deploy", name, "--wait")
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{name}.{BASE}"


def files_of(certified: Certified, hostname: str) -> list[Path]:
    etc = certified.box.state / "etc/slipway"
    return [etc / "tls/names" / f"{hostname}.pem", etc / "nginx/certificates" / f"{hostname}.conf"]


def served(one: dict[str, Any]) -> bool:
    return bool(one["served"])


def test_the_panel_gets_a_certificate_that_who_trusts_the_authority_believes(certified: Certified) -> None:
    one = certified.until(BASE, served, "the panel has a certificate")
    assert one["state"] == "valid"
    assert one["issuer"].startswith("Pebble Intermediate CA")
    answer = certified.ask(BASE, "/api/ping", "-i")
    assert answer.returncode == 0, answer.stderr
    assert '{"ok":true}' in answer.stdout
    assert "good until" in certified.box.slipway("status").stdout
    assert certified.box.json("certificates", "list")[0]["hostname"] == BASE
    assert certified.box.slipway("certificates", "renew", "nobody").returncode == 3
    pem, _ = files_of(certified, BASE)
    assert pem.stat().st_mode & 0o777 == 0o600
    assert pem.stat().st_uid == 0


def test_browsers_are_told_to_insist_for_a_day_as_long_as_no_renewal_has_worked(certified: Certified) -> None:
    certified.until(BASE, served, "the panel has a certificate")
    until(lambda: "strict-transport-security" in certified.ask(BASE, "/api/ping", "-i").stdout, "it is promised")
    assert "strict-transport-security: max-age=86400\n" in certified.ask(BASE, "/api/ping", "-i").stdout


def test_an_app_gets_its_own_and_deleting_the_app_takes_it_away(
    certified: Certified, live: str, tmp_path: Path
) -> None:
    hostname = go_live(certified, live, tmp_path)
    one = certified.until(hostname, served, "the app has a certificate")
    assert (one["app"], one["environment"]) == (live, "production")
    answer = certified.ask(hostname)
    assert answer.returncode == 0, answer.stderr
    assert all(file.exists() for file in files_of(certified, hostname))
    done = certified.box.slipway("apps", "delete", live, "--yes", "--wait")
    assert done.returncode == 0, done.stderr
    until(lambda: not any(file.exists() for file in files_of(certified, hostname)), "its files are gone")
    until(lambda: hostname not in str(certified.api("GET", "/certificates")), "it is not listed any more")
    state = certified.box.state / "var/lib/slipway/certbot"
    assert list((state / "results").iterdir()) == []
    assert certified.ask(BASE, "/api/ping").returncode == 0


def test_while_the_authority_is_away_the_app_is_served_all_the_same_and_later_it_gets_one_by_itself(
    certified: Certified, live: str, tmp_path: Path
) -> None:
    certified.authority.stop()
    try:
        hostname = go_live(certified, live, tmp_path)
        one = certified.until(hostname, lambda one: one["state"] == "failed", "the attempt has failed")
        assert "cannot be reached from this server" in one["reason"]
        assert certified.ask(hostname).returncode == UNTRUSTED
        assert certified.ask(hostname, "/", "--insecure").returncode == 0
        shown = certified.api("GET", f"/apps/{live}/environments/production/certificate")
        assert shown["reason"] == one["reason"]
    finally:
        certified.authority.start()  # which has forgotten the account that it gave
    certified.until(hostname, served, "the app has a certificate")
    assert certified.ask(hostname).returncode == 0


def test_an_authority_that_refuses_at_random_gives_one_in_the_end(
    certified: Certified, live: str, tmp_path: Path
) -> None:
    certified.authority.stop()
    certified.authority.start(refused_nonces=15)
    try:
        hostname = go_live(certified, live, tmp_path)
        certified.until(hostname, served, "the app has a certificate")
        assert certified.ask(hostname).returncode == 0
    finally:
        certified.authority.stop()
        certified.authority.start()


@pytest.mark.parametrize(
    ("addresses", "said"),
    [
        ((), "cannot be resolved from outside"),
        (("127.0.0.9",), "cannot be reached from outside"),
    ],
)
def test_a_name_that_does_not_lead_here_is_told_in_plain_words_and_tried_again(
    certified: Certified, live: str, tmp_path: Path, addresses: tuple[str, ...], said: str
) -> None:
    hostname = f"{live}.{BASE}"
    certified.authority.let_resolve(hostname, *addresses)
    go_live(certified, live, tmp_path)
    one = certified.until(hostname, lambda one: one["state"] == "failed", "the attempt has failed")
    assert said in one["reason"]
    assert hostname in one["reason"]
    certified.authority.let_resolve(hostname, "127.0.0.1")
    certified.until(hostname, served, "the app has a certificate")


def test_a_renewal_replaces_it_without_a_failed_request(certified: Certified, live: str, tmp_path: Path) -> None:
    hostname = go_live(certified, live, tmp_path)
    before = certified.until(hostname, served, "the app has a certificate")
    load = f"""
import http.client, ssl, sys, signal, socket
context = ssl.create_default_context(cafile={str(certified.authority.root)!r})
answered, failed, going = 0, [], True
def end(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, end)
print("begins", flush=True)
while going:
    try:
        plain = socket.create_connection(("127.0.0.1", {certified.box.port}), 10)
        with context.wrap_socket(plain, server_hostname={hostname!r}) as encrypted:
            encrypted.sendall(b"GET / HTTP/1.1\\r\\nHost: {hostname}\\r\\nConnection: close\\r\\n\\r\\n")
            status = encrypted.recv(65536).split(b" ")[1]
            if status == b"200":
                answered += 1
            else:
                failed.append(status)
    except OSError as error:
        failed.append(repr(error))
print(answered, failed)
"""
    python = certified.box.state / "opt/slipway/current/venv/bin/python"
    asking = subprocess.Popen([str(python), "-c", load], stdout=subprocess.PIPE, text=True)
    assert asking.stdout is not None
    assert asking.stdout.readline() == "begins\n"
    try:
        for _ in range(3):
            shown = certificate_of(certified, hostname)
            done = certified.box.slipway("certificates", "renew", live)
            assert done.returncode == 0, done.stderr
            until(lambda shown=shown: certificate_of(certified, hostname) != shown, "another one is served")  # type: ignore[misc]
            certified.until(hostname, lambda one: one["state"] == "valid", "it is recorded")
    finally:
        asking.terminate()
    said, _ = asking.communicate(timeout=60)
    answered, _, failed = said.strip().partition(" ")
    assert asking.returncode == 0
    assert failed == "[]", failed
    assert int(answered) > 20
    assert certified.certificate(hostname)["not_before"] > before["not_before"]


def certificate_of(certified: Certified, hostname: str) -> bytes:
    """As nginx shows it to whoever asks for the name."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", certified.box.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=hostname) as encrypted,
    ):
        shown = encrypted.getpeercert(binary_form=True)
        assert shown is not None
        return shown


def test_short_lived_ones_are_renewed_by_themselves_before_they_end(
    certified: Certified, live: str, tmp_path: Path
) -> None:
    certified.authority.stop()
    certified.authority.start(seconds=30)
    try:
        hostname = go_live(certified, live, tmp_path)
        first = certified.until(hostname, served, "the app has a certificate")
        later = certified.until(
            hostname, lambda one: one["not_after"] > first["not_after"], "it is renewed without being asked for"
        )
        assert now() < datetime.fromisoformat(first["not_after"])
        assert later["state"] == "valid"
    finally:
        certified.authority.stop()
        certified.authority.start()


def test_a_daemon_and_an_agent_that_are_killed_in_the_middle_bring_it_to_its_end(
    certified: Certified, live: str, tmp_path: Path
) -> None:
    hostname = go_live(certified, live, tmp_path)
    certified.until(hostname, served, "the app has a certificate")
    before = certificate_of(certified, hostname)
    assert certified.box.slipway("certificates", "renew", live).returncode == 0
    certified.until(hostname, lambda one: one["state"] == "obtaining", "it is being obtained")
    units = [certified.box.unit(part) for part in ("daemon", "host")]
    certified.box.systemctl("kill", "--signal=KILL", *units)
    until(lambda: certificate_of(certified, hostname) != before, "the new one is served")
    until(lambda: certified.box.slipway("status").returncode == 0, "Slipway is well")
    certified.until(hostname, lambda one: one["state"] == "valid", "it is recorded")


def test_what_somebody_removed_by_hand_is_obtained_anew_and_what_nobody_knows_goes(certified: Certified) -> None:
    certified.until(BASE, served, "the panel has a certificate")
    pem, named = files_of(certified, BASE)
    pem.unlink()
    strange = files_of(certified, "strange.example")
    for file in strange:
        file.write_text("strange")
    # With a file missing that its configuration names, nginx does not start.
    certified.box.systemctl("restart", certified.box.unit("nginx"))
    certified.box.systemctl("restart", certified.box.unit("daemon"))
    until(lambda: not any(file.exists() for file in strange), "what nobody knows is gone")
    kept = (certified.box.state / "var/lib/slipway/agent/replaced").iterdir()
    assert [file.read_text() for file in kept].count("strange") == 2, "and kept, whoever it was that put it there"
    until(lambda: pem.exists() and named.exists(), "the panel's is there again", 120)
    until(lambda: certified.ask(BASE, "/api/ping").returncode == 0, "the panel answers with it")


def test_doctor_mends_what_is_gone_and_tells_what_was_changed_until_somebody_asks(certified: Certified) -> None:
    certified.until(BASE, served, "the panel has a certificate")
    pem, named = files_of(certified, BASE)
    named.unlink()
    drift = certified.api("GET", "/system/drift")
    assert "a name's certificate is gone" in [one["what"] for one in drift["repairs"] if BASE in one["where"]]
    assert drift["findings"] == []
    certified.until(BASE, served, "the panel has a certificate again")
    assert pem.exists()
    assert named.exists()

    ours, notes = pem.read_text(), pem.with_name("notes.txt")
    pem.write_text(ours + "\n")
    notes.write_text("mine")
    found = {Path(one["where"]).name: one for one in certified.api("GET", "/system/drift")["findings"]}
    assert found[pem.name]["what"] == "a name's certificate was changed by hand"
    assert found[notes.name]["what"].startswith("a file that is not Slipway's")
    assert pem.read_text() == ours + "\n", "what a person changed stays"
    notes.unlink()
    certified.box.slipway("doctor", "--repair", found[pem.name]["id"])
    until(lambda: pem.read_text() not in (ours, ours + "\n"), "another one is there")
    certified.until(BASE, lambda one: served(one) and one["state"] == "valid", "it is recorded")
    assert certified.api("GET", "/system/drift")["findings"] == []
    kept = (certified.box.state / "var/lib/slipway/agent/replaced").iterdir()
    assert ours + "\n" in [file.read_text() for file in kept], "a copy of what the person put there is kept"


@pytest.mark.parametrize("what", ["the folder", "a link"])
def test_whatever_is_in_a_certificates_place_keeps_nothing_else_from_being_mended(
    certified: Certified, what: str
) -> None:
    certified.until(BASE, lambda one: served(one) and one["state"] == "valid", "the panel has a certificate")
    pem, named = files_of(certified, BASE)
    aside = pem.parent.with_name(f"aside-{what[-4:]}")
    if what == "the folder":
        pem.parent.rename(aside)
    else:
        pem.rename(aside)
        pem.symlink_to(aside)
    drift = certified.api("GET", "/system/drift")
    if what == "the folder":
        assert "a name's certificate is gone" in [one["what"] for one in drift["repairs"]]
        certified.until(BASE, served, "the panel has a certificate again")
        assert pem.exists()
    else:
        assert "a name's certificate was changed by hand" in [one["what"] for one in drift["findings"]]
        assert pem.is_symlink(), "what a person put there stays"
        aside.rename(pem)
    assert certified.api("GET", "/system/drift")["findings"] == []
    assert named.exists()


def test_an_installer_that_is_run_again_believes_the_panels_new_certificate(certified: Certified) -> None:
    certified.until(BASE, served, "the panel has a certificate")
    certified.box.up()
    assert certified.ask(BASE, "/api/ping").returncode == 0
