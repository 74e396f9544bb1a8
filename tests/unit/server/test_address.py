"""Names for a server that has none yet."""

import ipaddress

import pytest

from slipway.server import address


def test_the_name_resolves_to_the_address() -> None:
    assert address.name_of("203.0.113.7") == "203-0-113-7.sslip.io"
    assert address.name_of("10.0.0.1", "nip.example") == "10-0-0-1.nip.example"


def test_what_is_no_address_has_no_name() -> None:
    with pytest.raises(ValueError, match="example"):
        address.name_of("example.org")


def test_the_address_is_one_of_this_machines_own() -> None:
    assert ipaddress.IPv4Address(address.outward_address())
