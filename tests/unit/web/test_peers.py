"""Whose the other end of a connection is, from the kernel's table."""

import os
import socket
from pathlib import Path

import pytest

from slipway.web.peers import owner_of


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3"])
def test_the_owner_of_an_open_connection_is_found(address: str) -> None:
    with socket.create_server((address, 0)) as server, socket.create_connection(server.getsockname()) as client:
        assert owner_of(*client.getsockname(), Path("/proc/net/tcp").read_text()) == os.getuid()


def test_a_connection_that_its_owner_closed_is_nobodys() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        with socket.create_connection(server.getsockname()) as client:
            name = client.getsockname()
        assert owner_of(*name, Path("/proc/net/tcp").read_text()) is None
