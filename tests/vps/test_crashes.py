"""What dies on a server, and what is there again afterwards without anybody's help."""

import re
import time

import pytest

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import PARTS, Server


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_is_killed_is_back_and_the_app_goes_on(server: Server, hello: str, part: str) -> None:
    deploy_hello(server, hello)
    name = f"hello.{base_of(server)}"
    server.does(f"kill -9 of {part}")
    server.kill(part)
    server.until(lambda: ask(server, name)[0] == 200, "the app answers")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


MINUTES = 2


def test_while_the_database_is_away_apps_serve_and_pages_say_so(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    own = server.own_id()
    daemon = server.must("systemctl", "show", "--property=MainPID", f"slipway-{own}-daemon.service")
    server.must("slipway", "settings", "hello", "build_command=sleep 20")
    server.must("slipway", "deploy", "hello")
    server.until(lambda: server.json("deployments", "hello")[0]["state"] == "building", "it builds")
    server.must("systemctl", "stop", f"slipway-{own}-postgresql.service")
    away = time.monotonic()
    while time.monotonic() - away < MINUTES * 60:
        assert ask(server, f"hello.{base_of(server)}")[0] == 200
        status, page = ask(server, base_of(server), "/setup/nobody-has-this-one")
        assert status == 503
        assert "database" in page
    server.does(f"PostgreSQL stopped for {MINUTES} minutes, from the middle of a deployment on, and started again")
    server.must("systemctl", "start", f"slipway-{own}-postgresql.service")
    agrees(server)
    assert server.json("deployments", "hello")[0]["state"] == "live"
    server.story.notes("the app served, pages said so, the deployment went on and is live, nothing was restarted")
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
    server.does(way.replace("_", " "))
    getattr(server, way)()
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app answers")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    assert server.json("releases", "hello")[0]["live"]
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


def test_systemd_and_its_bus_may_be_started_anew(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.does("systemctl daemon-reexec, a deployment, dbus.service restarted, a deployment")
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


CLOCK = "/run/clock"
FAKE = {
    "LD_PRELOAD": "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "FAKETIME_TIMESTAMP_FILE": CLOCK,
    "FAKETIME_NO_CACHE": "1",
    "DONT_FAKE_MONOTONIC": "1",
    "FAKETIME_DONT_FAKE_MONOTONIC": "1",
}


@pytest.mark.parametrize("jump", ["+1d", "-1d"])
def test_a_clock_that_jumps_by_a_day_in_a_deployment_disturbs_nothing(server: Server, hello: str, jump: str) -> None:
    """The wall clock of the daemon, the host agent and PostgreSQL: what a server shares with its machine is the
    kernel's, which no test may set."""
    server.must("apt-get", "update", timeout=300)
    server.must("apt-get", "install", "--yes", "--no-install-recommends", "libfaketime", timeout=300)
    server.put(CLOCK, "+0\n")
    # Not by drop-ins: the doctor would tell of them.
    server.must("systemctl", "set-environment", *(f"{name}={value}" for name, value in FAKE.items()))
    for part in ("postgresql", "host", "daemon"):
        server.must("systemctl", "restart", f"slipway-{server.own_id()}-{part}.service")
    server.must("systemctl", "unset-environment", *FAKE)
    deploy_hello(server, hello)
    session = signed_in(server)
    assert ask(server, base_of(server), "/", *session)[0] == 200
    server.must("slipway", "settings", "hello", "build_command=sleep 5")
    server.must("slipway", "deploy", "hello")
    server.until(lambda: server.json("deployments", "hello")[0]["state"] == "building", "it builds")
    server.does(f"the clock jumps by {jump} while it builds")
    server.put(CLOCK, f"{jump}\n")
    assert hours_ahead(server) == {"+1d": 24, "-1d": -24}[jump]
    agrees(server)
    assert server.json("deployments", "hello")[0]["state"] == "live"
    assert ask(server, base_of(server), "/", *session)[0] == 200
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)
    server.story.notes("the deployment went live, who was signed in still is, and the next one went live too")


def hours_ahead(server: Server) -> int:
    """By how much the database's clock is before the machine's."""
    statement = "SELECT extract(epoch FROM clock_timestamp())"
    psql = ["psql", "-h", "/run/slipway/postgresql", "-U", "slipway", "-d", "slipway", "-Atqc", statement]
    return round((float(server.must("runuser", "--user", "slipway", "--", *psql)) - time.time()) / 3600)


def signed_in(server: Server) -> list[str]:
    """Make an account; → what curl needs to be it."""
    link = server.must("slipway", "setup-link").strip().partition(server.base)[2]
    _, page = ask(server, server.base, link)
    fields = ["-d", "name=Ada", "-d", "email=ada@example.com", "-d", "password=correct horse battery"]
    if token := re.search(r'name="csrf" value="([^"]+)"', page):
        fields += ["-d", f"csrf={token[1]}"]
    status, said = ask(server, server.base, link, *fields, "-H", f"Origin: https://{server.base}", "-i")
    assert status == 303, said
    cookie = re.search(r"(?im)^set-cookie: ([^;]+)", said)
    assert cookie is not None
    return ["-H", f"Cookie: {cookie[1]}"]


def test_what_was_stopped_is_told_with_the_command_that_starts_it(server: Server) -> None:
    own = server.own_id()
    start = f"systemctl start slipway-{own}.target"
    sockets = [f"slipway-{own}-{name}.socket" for name in ("host", "web", "admin")]
    server.must("systemctl", "stop", *sockets, *(f"slipway-{own}-{part}" for part in PARTS))
    server.does("systemctl stop of each part")
    told = server.run("slipway", "doctor")
    assert "Slipway does not run here" in told.stdout
    assert f"`{start}` starts what is stopped. Why it stopped: `journalctl -u slipway-{own}-daemon`" in told.stdout
    server.must("systemctl", "start", f"slipway-{own}-nginx")
    status, page = ask(server, base_of(server), "/sign-in")
    assert (status, f"<code>{start}</code>" in page) == (502, True)
    server.must(*start.split())
    agrees(server)
