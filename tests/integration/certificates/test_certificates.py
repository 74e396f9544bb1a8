"""Certificates of an authority, in a box: real certbot, a real authority, and what comes between them."""

from tests.integration.certificates.conftest import BASE, Certified


def test_the_panel_gets_a_certificate_that_who_trusts_the_authority_believes(certified: Certified) -> None:
    one = certified.until(BASE, lambda one: one["served"], "the panel has a certificate")
    assert one["state"] == "valid"
    assert one["issuer"].startswith("Pebble Intermediate CA")
    answer = certified.ask(BASE, "/api/ping", "-i")
    assert answer.returncode == 0, answer.stderr
    assert '{"ok":true}' in answer.stdout
