"""Who listens: read from Linux itself."""

import os
import socket

from slipway.routing import sockets


def test_a_listener_is_seen_with_its_address_and_user() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert sockets.listeners(port) == [sockets.Listener("127.0.0.1", os.geteuid())]
        assert port in sockets.ports_of(os.geteuid())
    assert sockets.listeners(port) == []


def test_one_that_is_bound_to_another_address_is_not_reached_on_loopback() -> None:
    with socket.create_server(("127.0.0.2", 0)) as server:
        (found,) = sockets.listeners(server.getsockname()[1])
        assert not found.is_reached_on_loopback


def test_an_ipv6_listener_is_reached_where_it_listens_on_every_address() -> None:
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        (found,) = sockets.listeners(server.getsockname()[1])
        assert found.address == "::"
        assert found.is_reached_on_loopback


def test_open_connections_are_counted_at_the_side_that_accepted_them() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            assert sockets.established({port}) == 1
            accepted.close()
