"""What the kernel and the firewall of a machine of its own keep from apps, builds, and everybody outside."""

import re
import socket
import tomllib
from pathlib import Path

from slipway.settings import PORTS_PER_PLACE
from tests.vps.conftest import Provider
from tests.vps.machines import Machine
from tests.vps.outside import agrees, ask, base_of
from tests.vps.test_intruders import METADATA

PROBER = Path(__file__).with_name("prober.py")
SHOWN = {22, 80, 443}
"""Ports that are open to the world: sshd's is the provider's."""


def app_port(machine: Machine) -> int:
    """One that an instance of the example listens on."""
    found = re.search(r"127\.0\.0\.1:(1\d{4})", machine.must("ss", "-ltn"))
    assert found is not None
    return int(found[1])


def test_an_app_and_a_build_reach_neither_another_app_nor_the_metadata_service(
    machine: Machine, provider: Provider, tmp_path: Path
) -> None:
    apps = tomllib.loads(machine.must("cat", "/etc/slipway/slipway.toml"))["apps"]
    taken = app_port(machine)
    # Debian 12's systemd was built without what SocketBindDeny= takes, whatever the kernel has.
    binds_by_bpf = "+BPF_FRAMEWORK" in machine.must("systemctl", "--version")
    # At the addresses at which providers have it, nginx answers to whoever may ask.
    for address in METADATA:
        machine.must("ip", "address", "add", f"{address}/32", "dev", "lo")
    machine.until(lambda: all(answers(machine, address) for address in METADATA), "something answers there")
    addresses = [f"{address}:80" for address in METADATA] + [f"127.0.0.1:{taken}", f"{machine.address}:80"]
    last = apps["first_port"] + apps["places"] * PORTS_PER_PLACE - 1
    tried = f"{apps['first_port']} {last} {' '.join(addresses)}"
    (tmp_path / "prober.py").write_text(PROBER.read_text())
    (tmp_path / "Procfile").write_text(f"worker: python3 prober.py app {tried}\n")
    provider.publish("prober", tmp_path)
    machine.must("slipway", "apps", "create", "prober", "--repo", provider.address("prober"))
    machine.must("slipway", "settings", "prober", f"build_command=python3 prober.py build {tried}")
    machine.does("an app and its build try to listen on every port of apps, and to ask another app and the metadata")
    machine.must("slipway", "deploy", "prober", "--wait", timeout=300)
    number = machine.json("deployments", "prober")[0]["id"]
    said = {"build": lambda: machine.must("slipway", "logs", "prober", "--build", str(number)),
            "app": lambda: machine.must("slipway", "logs", "prober", "-n", "100")}  # fmt: skip
    for who, log in said.items():
        machine.until(lambda log=log, who=who: f"{who} has tried it all" in log(), "it has tried it all")  # type: ignore[misc]
        found = log()
        if binds_by_bpf:
            assert f"{who} could listen on 0 of them" in found, found
        assert f"{who} could listen elsewhere: bound" in found, "it tried in earnest"
        assert f"{who} asked {machine.address}:80: answered" in found, "it tried in earnest"
        for address in addresses[:-1]:
            assert f"{who} asked {address}: ECONNREFUSED" in found, found
    listens = re.search(r"app listens on \[(\d*)\]", found)
    assert listens is not None, found
    assert bool(listens[1]) != binds_by_bpf, found
    if listens[1]:  # it is a place's that nobody has: nobody may answer there
        assert "TimeoutError" in machine.run("python3", "-c", CONNECT_TO_PORT, listens[1]).stderr
    machine.must("slipway", "apps", "delete", "prober", "--yes", "--wait")
    for address in METADATA:
        machine.must("ip", "address", "del", f"{address}/32", "dev", "lo")
    agrees(machine)
    can = "no other could be listened on" if binds_by_bpf else "they can listen on others here, and nobody hears them"
    machine.story.notes(f"whom they asked refused; {can}")


def answers(machine: Machine, address: str) -> bool:
    return machine.run("curl", "-s", "-o", "/dev/null", f"http://{address}/").returncode == 0


def test_from_outside_there_is_nginx_and_nothing_else_of_slipways(machine: Machine) -> None:
    assert ask(machine, f"hello.{base_of(machine)}")[0] == 200
    assert ask(machine, base_of(machine), scheme="http")[0] == 308
    listening = re.findall(r"(?m)^LISTEN +\d+ +\d+ +(\S+):(\d+) ", machine.must("ss", "-ltn"))
    assert {int(port) for address, port in listening if not address.startswith("127.")} == SHOWN
    port = app_port(machine)
    # As an app might do it that listens on every address: on its own port, which no address tells apart.
    free = port + 1
    machine.must("systemd-run", "--quiet", "--unit=listens", "python3", "-m", "http.server", str(free))
    asked = ["curl", "-s", "--max-time", "60", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{free}/"]
    machine.until(lambda: machine.run(*asked).stdout == "200", "something listens on a port of apps")
    machine.does("a port of apps is asked from outside, and by strangers inside")
    assert not is_open(machine.address, port)
    assert not is_open(machine.address, free), "the firewall drops what comes from outside"
    assert not is_open(machine.address, 5432)
    machine.run("useradd", "--system", "stranger")
    for at in (port, free):
        asked[-1] = f"http://127.0.0.1:{at}/"
        assert machine.run("runuser", "-u", "stranger", "--", *asked).stdout == "000"
        assert machine.run("runuser", "-u", "slipway", "--", *asked).stdout == "200"
    for path in ("host.sock", "admin.sock", "web.sock", "postgresql/.s.PGSQL.5432"):
        done = machine.run("runuser", "-u", "stranger", "--", "python3", "-c", CONNECT, f"/run/slipway/{path}")
        assert "PermissionError" in done.stderr, path
    machine.must("systemctl", "stop", "listens.service")
    agrees(machine)
    machine.story.notes("it is dropped from outside and refused inside; nginx and Slipway reach it")


CONNECT_TO_PORT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=20)"
CONNECT = "import socket, sys; socket.socket(socket.AF_UNIX).connect(sys.argv[1])"


def is_open(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=5):
            return True
    except OSError:
        return False
