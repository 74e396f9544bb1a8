"""What dies on a server, and what is there again afterwards without anybody's help."""

import re

import pytest

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server

PARTS = ("daemon", "host", "postgresql", "nginx")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_back_and_the_app_goes_on(server: Server, hello: str, part: str) -> None:
    deploy_hello(server, hello)
    name = f"hello.{base_of(server)}"
    server.must("systemctl", "kill", "--signal=KILL", f"slipway-{server.own_id()}-{part}.service")
    server.until(lambda: ask(server, name)[0] == 200, "the app answers")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


def test_while_the_database_is_away_apps_serve_and_pages_say_so(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    own = server.own_id()
    daemon = server.must("systemctl", "show", "--property=MainPID", f"slipway-{own}-daemon.service")
    server.must("systemctl", "stop", f"slipway-{own}-postgresql.service")
    assert ask(server, f"hello.{base_of(server)}")[0] == 200
    status, page = ask(server, base_of(server), "/setup/nobody-has-this-one")
    assert status == 503
    assert "database" in page
    server.must("systemctl", "start", f"slipway-{own}-postgresql.service")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    assert server.must("systemctl", "show", "--property=MainPID", f"slipway-{own}-daemon.service") == daemon
    agrees(server)


def test_a_daemon_that_starts_without_a_database_serves_and_works_once_it_is_there(server: Server, hello: str) -> None:
    own = server.own_id()
    server.must("systemctl", "stop", f"slipway-{own}-daemon.service", f"slipway-{own}-postgresql.service")
    server.must("mv", "/var/lib/slipway/postgresql", "/var/lib/slipway/postgresql.away")
    server.must("systemctl", "start", "--no-block", f"slipway-{own}-daemon.service")
    server.until(lambda: ask(server, base_of(server), "/setup/x")[0] == 503, "the panel says that it cannot")
    server.must("mv", "/var/lib/slipway/postgresql.away", "/var/lib/slipway/postgresql")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    deploy_hello(server, hello)
    agrees(server)


@pytest.mark.parametrize("way", ["reboot", "cut_power"])
def test_after_a_boot_everything_is_as_it_was(server: Server, hello: str, way: str) -> None:
    deploy_hello(server, hello)
    getattr(server, way)()
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app answers")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    assert server.json("releases", "hello")[0]["live"]
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


def test_a_power_cut_in_the_middle_of_a_deployment_is_settled(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.must("slipway", "settings", "hello", "build_command=sleep 20")
    server.must("slipway", "deploy", "hello")
    server.until(lambda: server.json("deployments", "hello")[0]["state"] == "building", "it builds")
    server.cut_power()
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app answers")
    server.until(lambda: server.json("deployments", "hello")[0]["ended"], "the deployment has ended", seconds=90)
    agrees(server)


def test_systemd_and_its_bus_may_be_started_anew(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.must("systemctl", "daemon-reexec")
    server.must("slipway", "deploy", "hello", "--wait")
    server.must("systemctl", "restart", "dbus.service")
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


@pytest.mark.parametrize(("part", "most"), [("daemon", 3.0), ("host", 6.0)])
def test_the_units_are_as_closed_as_they_can_be(server: Server, part: str, most: float) -> None:
    """By `systemd-analyze security`: 0 is closed, 10 open. Under 3 for what faces the network, 6 for what is root."""
    said = server.must("systemd-analyze", "security", "--no-pager", f"slipway-{server.own_id()}-{part}.service")
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", said)
    assert found is not None, said[-500:]
    exposure = float(found[1])
    print(f"{part}: {exposure}")
    assert exposure <= most
