"""The name under which a server is reached before it has one: its address, as a name that resolves to it."""

import ipaddress
import socket

from slipway.errors import Unavailable

DEFAULT_RESOLVER = "sslip.io"
"""Its name servers answer `a-b-c-d.sslip.io` with a.b.c.d, and so for every name below it."""


def outward_address() -> str:
    """The IPv4 address that this machine sends from. Nothing is sent: a route is looked up. Raises Unavailable."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # for documentation (RFC 5737): behind the default route, wherever that is
        except OSError as error:
            raise Unavailable(
                "this machine has no route to the internet over IPv4, so that no address for it can be found. "
                "Give its name with --base."
            ) from error
        address: str = probe.getsockname()[0]
        return address


def name_of(address: str, resolver: str = DEFAULT_RESOLVER) -> str:
    return f"{str(ipaddress.IPv4Address(address)).replace('.', '-')}.{resolver}"
