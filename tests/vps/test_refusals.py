"""Machines that cannot be a server: the installer says why and what helps, before it changes anything."""

from collections.abc import Iterator

import pytest

from tests.vps.network import Network
from tests.vps.servers import Server, booted


@pytest.fixture(scope="module", params=["debian-12"])
def bare(request: pytest.FixtureRequest) -> Iterator[Server]:
    network = Network()
    try:
        with booted(request.param, network) as server:
            yield server
    finally:
        network.give_back()


def told(memory: int) -> str:
    """A machine with so many MB, and no swap."""
    return f"printf 'MemTotal: {memory * 1024} kB\nSwapTotal: 0 kB\n' >/run/m && mount --bind /run/m /proc/meminfo"


SERVES = "python3 -m http.server 80 >/dev/null 2>&1 & until ss -ltn | grep -q :80; do sleep 0.1; done"


@pytest.mark.parametrize(
    ("made", "said", "helps"),
    [
        ("mount -t tmpfs none /run/systemd", "systemd does not run this machine", "./install.sh --try"),
        ("echo ID=gentoo >/run/os && mount --bind /run/os /etc/os-release", "this is gentoo-", "Debian 12 and 13"),
        (told(300), "300 MB of memory", "needs 400"),
        (told(512), "0 MB of swap", "mkswap /swapfile"),
        ("mount -t tmpfs -o size=100m none /opt", "100 MB of disk are free", "needs 2000"),
        (SERVES, "listens on port 80", "Stop it first"),
    ],
    ids=["no systemd", "another system", "little memory", "no swap", "little disk", "another server"],
)
def test_it_is_refused_with_what_helps(bare: Server, made: str, said: str, helps: str) -> None:
    before = state(bare)
    install = 'cd / && /checkout/install.sh; code=$?; [ -z "$!" ] || kill $!; exit $code'
    done = bare.run("unshare", "--mount", "bash", "-c", f"{made}\n{install}")
    assert done.returncode == 1, done.stderr
    assert said in done.stderr
    assert helps in done.stderr
    assert state(bare) == before


def test_who_is_not_root_is_told_how(bare: Server) -> None:
    done = bare.run("runuser", "-u", "nobody", "--", "bash", "-c", "cd / && /checkout/install.sh")
    assert done.returncode == 1
    assert "sudo ./install.sh" in done.stderr


def state(server: Server) -> str:
    return server.must("bash", "-c", "dpkg --list; getent passwd; ls -A / /etc /opt /var/log /etc/systemd/system")
