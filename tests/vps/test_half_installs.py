"""An install that was ended in the middle: `--uninstall` takes it back, and the same line works afterwards."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.vps.conftest import GIT, GIT_PORT, Provider, served
from tests.vps.images import CHECKOUT
from tests.vps.network import Network
from tests.vps.outside import ask, base_of, left
from tests.vps.servers import Server, booted

LOG = "/var/log/slipway-install.log"
UNINSTALL = ("/opt/slipway/install.sh", "--uninstall", "--with-data")
CONTROL_C = "\x03"


@pytest.fixture(scope="module")
def bare(provider: Provider) -> Iterator[Server]:
    network = Network()
    try:
        with booted("debian-12", network) as server, served(server, provider):
            yield server
    finally:
        network.give_back()


@pytest.fixture
def line(provider: Provider) -> str:
    return f"curl -fsSL https://{GIT}:{GIT_PORT}/install.sh | SLIPWAY_REPO={provider.address('slipway')} bash"


def test_what_is_there_is_removed_by_the_script_alone_with_no_address_to_get_more_from(bare: Server) -> None:
    script = (CHECKOUT / "install.sh").read_text()
    nothing = bare.run("bash", "-s", "--", "--uninstall", given=script)
    assert nothing.returncode == 1
    assert "there is no Slipway on this machine" in nothing.stderr
    bare.must("mkdir", "-p", "/opt/slipway/parts/venv-0123456789ab.new")
    bare.must("systemctl", "mask", "nginx.service")
    removed = bare.run("bash", "-s", "--", "--uninstall", given=script)
    assert removed.returncode == 0, removed.stderr
    assert left(bare) == set()


def test_apt_get_that_did_not_do_all_of_it_is_not_believed(bare: Server, line: str) -> None:
    stopped = "/usr/local/sbin/apt-get"
    bare.must("sh", "-c", f"printf '#!/bin/sh\n' >{stopped} && chmod +x {stopped}")
    with typed(bare, line) as typing:
        said = typing.communicate(timeout=120)[0]
    assert typing.returncode != 0
    assert "ended in the middle. The same command again goes on from here." in said, said
    bare.must("rm", stopped)
    bare.must(*UNINSTALL)
    assert left(bare) == set()


def test_an_install_that_is_ended_anywhere_is_taken_back_and_works_afterwards(bare: Server, line: str) -> None:
    for come_to in (f"grep -q ^Unpacking {LOG}", f"grep -q 'Python packages' {LOG} && pgrep -f 'pip install'"):
        with typed(bare, line) as typing:
            reached(bare, typing, come_to)
            said = typing.communicate(CONTROL_C, timeout=120)[0]
        assert typing.returncode != 0
        assert "ended in the middle. The same command again goes on from here." in said, said
        assert clones(bare) == ""
        bare.must(*UNINSTALL)
        assert left(bare) == set()

    with typed(bare, line) as typing:
        reached(bare, typing, "test -e /etc/slipway/slipway.toml")
        bare.cut_power()
    bare.must(*UNINSTALL)
    assert left(bare) == set()
    assert "slipway" not in bare.must("getent", "passwd") + bare.must("getent", "group")

    done = bare.run("bash", "-c", line, timeout=600)
    assert done.returncode == 0, done.stderr
    assert clones(bare) == ""
    assert ask(bare, base_of(bare), "/sign-in")[0] == 200


@contextmanager
def typed(server: Server, line: str) -> "Iterator[subprocess.Popen[str]]":
    """At a terminal, as a person does."""
    argv = server.entering("script", "--quiet", "--return", "--flush", "--command", line, "/dev/null")
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=subprocess.STDOUT, text=True) as typing:
        try:
            yield typing
        finally:
            typing.kill()


def reached(server: Server, typing: "subprocess.Popen[str]", come_to: str) -> None:
    def is_there() -> bool:
        assert typing.poll() is None, typing.communicate()[0]
        return server.run("bash", "-c", come_to).returncode == 0

    server.until(is_there, come_to, seconds=300)


def clones(server: Server) -> str:
    return server.run("bash", "-c", "ls -d /tmp/slipway-install.*").stdout
