"""A whole installation in local mode: what stands, who may reach what, and what survives."""

import subprocess
import time
from pathlib import Path

import pytest
from tests.integration.conftest import Box, run
from tests.integration.deployments.helpers import until


def ask(box: Box, path: str, *options: str, hostname: str = "localhost") -> str:
    return run("curl", "--silent", "--max-time", "10", *options, f"http://127.0.0.1:{box.port}{path}",
               "--header", f"Host: {hostname}:{box.port}").stdout  # fmt: skip


def ask_nginx_itself(box: Box, url: str, *options: str) -> str:
    socket = "/run/slipway/nginx.sock"
    return box.enter("curl", "--silent", "--max-time", "10", "--unix-socket", socket, *options, url).stdout


def own_id(box: Box) -> str:
    return box.id


def state_of(box: Box, part: str) -> str:
    return box.systemctl("is-active", f"slipway-{own_id(box)}-{part}").stdout.strip()


def as_user(box: Box, user: str, *argv: str) -> "subprocess.CompletedProcess[str]":
    return box.enter("runuser", "--user", user, "--", *argv)


def test_every_part_runs(box: Box) -> None:
    for part in ("postgresql.service", "nginx.service", "daemon.service", "host.socket", "web.socket", "apps.target"):
        assert state_of(box, part) == "active", part


def test_the_panel_answers_under_its_own_name(box: Box) -> None:
    assert ask(box, "/api/ping", "--output", "/dev/null", "--write-out", "%{http_code}") == "200"


def test_a_name_that_nobody_has_gets_no_answer(box: Box) -> None:
    assert ask(box, "/", "--output", "/dev/null", "--write-out", "%{http_code}", hostname="example.com") == "000"


def test_nginx_says_which_configuration_it_serves_to_slipway_only(box: Box) -> None:
    assert ask_nginx_itself(box, "http://nginx.slipway.internal/configuration").strip().isdigit()
    assert ask(box, "/configuration", hostname="nginx.slipway.internal") == ""


def test_who_answered_is_said_on_the_unix_socket_only(box: Box) -> None:
    assert "X-Slipway-Upstream: unix:/run/slipway/web.sock" in ask_nginx_itself(
        box, f"http://localhost:{box.port}/api/ping", "--include"
    )
    assert "X-Slipway-Upstream" not in ask(box, "/api/ping", "--include")


def test_a_client_cannot_choose_its_own_address(box: Box) -> None:
    marker = f"/forged-{time.time_ns()}"
    ask(box, marker, "--header", "X-Forwarded-For: 203.0.113.9")
    log = box.state / "var/log/slipway/access.log"
    until(lambda: marker in log.read_text(), "nginx has written who asked, which it does after its answer")
    line = next(line for line in log.read_text().splitlines() if marker in line)
    assert '"client":"127.0.0.1"' in line


def test_the_key_and_the_agents_folder_are_roots(box: Box) -> None:
    assert as_user(box, "slipway", "cat", "/etc/slipway/slipway.toml").returncode == 0
    assert "Permission denied" in as_user(box, "slipway", "cat", "/etc/slipway/key").stderr
    for folder in ("/var/lib/slipway/agent", "/var/lib/slipway/postgresql", "/srv/slipway/trash"):
        assert "Permission denied" in as_user(box, "slipway", "ls", folder).stderr, folder


def test_only_slipway_reaches_its_database(box: Box) -> None:
    query = ["psql", "-h", "/run/slipway/postgresql", "-U", "slipway", "-d", "slipway", "-Atc", "SELECT current_user"]
    assert as_user(box, "slipway", *query).stdout.strip() == "slipway"
    assert as_user(box, "slipway-nginx", *query).returncode != 0
    assert as_user(box, "nobody", *query).returncode != 0
    as_superuser = ["psql", "-h", "/run/slipway/postgresql", "-U", "postgres", "-d", "slipway", "-c", "SELECT 1"]
    assert as_user(box, "slipway", *as_superuser).returncode != 0


def test_only_slipway_reaches_the_sockets_of_the_agent_and_of_nginx(box: Box) -> None:
    for name in ("host.sock", "admin.sock", "nginx.sock"):
        reach = ["curl", "--silent", "--max-time", "1", "--unix-socket", f"/run/slipway/{name}", "http://localhost/"]
        assert as_user(box, "nobody", *reach).returncode == 7, name


def test_slipways_user_cannot_change_the_code_that_root_runs(box: Box) -> None:
    found = as_user(box, "slipway", "find", "-L", "/opt/slipway/current/", "-writable", "-print", "-quit")
    assert (found.returncode, found.stdout) == (0, "")


def test_nginx_listens_on_loopback_only(box: Box) -> None:
    table = Path("/proc/net/tcp").read_text().splitlines()[1:]
    own = [line.split() for line in table]
    listening = {fields[1] for fields in own if fields[3] == "0A" and fields[1].endswith(f":{box.port:04X}")}
    assert listening == {f"0100007F:{box.port:04X}"}


def test_killed_parts_come_back(box: Box) -> None:
    for part in ("nginx.service", "postgresql.service", "daemon.service"):
        name = f"slipway-{own_id(box)}-{part}"
        box.systemctl("kill", "--signal=KILL", name)
        deadline = time.monotonic() + 20
        while ask(box, "/api/ping", "--output", "/dev/null", "--write-out", "%{http_code}") != "200":
            assert time.monotonic() < deadline, f"{part} did not come back\n{box.journal()}"
            time.sleep(0.1)


@pytest.mark.parametrize(
    ("part", "told", "means"),
    [
        ("postgresql", "database", "nothing can be deployed or changed"),
        ("host", "host agent", "nothing can be built, started, stopped or switched"),
        ("nginx", "nginx", "nobody reaches the apps"),
    ],
)
def test_a_part_that_was_stopped_is_told_with_what_that_means_and_what_starts_it(
    box: Box, part: str, told: str, means: str
) -> None:
    sockets = [box.unit(part).replace(".service", ".socket")] if part == "host" else []
    assert box.systemctl("stop", *sockets, box.unit(part)).returncode == 0
    try:
        for command in ("status", "doctor"):
            ended = box.slipway(command)
            assert ended.returncode == 1
            (wrong,) = [line for line in ended.stdout.splitlines() if "BAD " in line]
            assert f"BAD  {told}: " in wrong
            assert means in wrong
            assert "→ `./install.sh --try`, with the --state that it was made with, starts what is" in ended.stdout
    finally:
        # What --try does, and what is typed on a server.
        assert box.systemctl("start", f"slipway-{own_id(box)}.target").returncode == 0
    until(lambda: box.slipway("status").returncode == 0, f"the {told} answers again")


def test_a_daemon_that_was_stopped_is_told_with_what_starts_it(box: Box) -> None:
    sockets = [box.unit(part).replace(".service", ".socket") for part in ("web", "admin")]
    assert box.systemctl("stop", *sockets, box.unit("daemon")).returncode == 0
    try:
        status, doctor = box.slipway("status"), box.slipway("doctor")
        assert (status.returncode, doctor.returncode) == (5, 1)
        for said in (status.stderr, doctor.stdout):
            assert "Slipway does not run here" in said
            assert "Apps go on without it, unless `slipway down` ended them too. `./install.sh --try`" in said
        away = run(*box.command("status"), SLIPWAY_URL=box.url(), SLIPWAY_TOKEN="slw_x")
        assert (away.returncode, away.stderr.count("\n")) == (5, 1)
        assert "On its server, `slipway doctor` says what to do." in away.stderr
    finally:
        assert box.systemctl("start", f"slipway-{own_id(box)}.target").returncode == 0
    until(lambda: box.slipway("status").returncode == 0, "the daemon answers again")


def test_a_second_try_goes_on_with_the_same_installation(box: Box) -> None:
    before = own_id(box), (box.state / "etc/slipway/key").read_bytes()
    box.up()
    assert (own_id(box), (box.state / "etc/slipway/key").read_bytes()) == before
    assert ask(box, "/api/ping", "--output", "/dev/null", "--write-out", "%{http_code}") == "200"


def test_a_running_one_is_not_moved_to_another_port(box: Box) -> None:
    ended = box.local("up", "--port", "1")
    assert ended.returncode == 1
    assert f"is running on port {box.port}" in ended.stderr


def test_a_stopped_one_resumes_with_its_data(own_box: Box) -> None:
    own_box.up()
    write = "CREATE TABLE kept AS SELECT 42 AS answer"
    psql = ["psql", "-h", "/run/slipway/postgresql", "-U", "slipway", "-d", "slipway", "-Atc"]
    assert as_user(own_box, "slipway", *psql, write).returncode == 0
    assert own_box.slipway("down").returncode == 0
    assert own_box.local("status").returncode == 3
    assert own_box.enter("true").returncode == 1
    assert run("curl", "--silent", f"http://127.0.0.1:{own_box.port}/").returncode == 7
    own_box.up()
    assert as_user(own_box, "slipway", *psql, "SELECT answer FROM kept").stdout.strip() == "42"


def test_two_run_beside_each_other(box: Box, own_box: Box) -> None:
    own_box.up()
    assert own_id(box) != own_id(own_box)
    for one in (box, own_box):
        assert ask(one, "/api/ping", "--output", "/dev/null", "--write-out", "%{http_code}") == "200"
    own_box.slipway("down")
    assert ask(box, "/api/ping", "--output", "/dev/null", "--write-out", "%{http_code}") == "200"


def test_with_tls_it_speaks_https_only_with_a_key_that_is_roots(own_box: Box) -> None:
    own_box.up("--tls")
    certificate = own_box.state / "etc/slipway/tls/certificate.pem"
    status = ["curl", "--silent", "--max-time", "10", "--output", "/dev/null", "--write-out", "%{http_code}"]
    trusting = ["--cacert", str(certificate), f"https://localhost:{own_box.port}/api/ping"]
    assert run(*status, *trusting).stdout == "200"
    assert run(*status, f"http://localhost:{own_box.port}/api/ping").stdout == "400"
    assert "Permission denied" in as_user(own_box, "slipway", "cat", "/etc/slipway/tls/key.pem").stderr
    before = certificate.read_bytes()
    own_box.slipway("down")
    own_box.up()
    assert run(*status, *trusting).stdout == "200"
    assert certificate.read_bytes() == before


def test_a_port_that_is_taken_is_said(box: Box, own_box: Box) -> None:
    install = [str(Path(__file__).resolve().parents[3] / "install.sh"), "--try", "--no-example"]
    fresh = own_box.state / "fresh"
    ended = run(*install, "--state", str(fresh), "--port", str(box.port), timeout=600)
    assert ended.returncode == 1
    assert f"something else listens on port {box.port}" in ended.stderr
    assert not fresh.exists()


def test_the_example_is_live_and_comes_back_without_the_daemon(own_box: Box) -> None:
    install = [str(Path(__file__).resolve().parents[3] / "install.sh"), "--try", "--state", str(own_box.state)]
    tried = run(*install, "--port", str(own_box.port), timeout=600)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert f"http://localhost:{own_box.port}/setup/" in tried.stdout
    health = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    assert ask(own_box, "/health", *health, hostname="hello.localhost") == "200"
    own_box.slipway("down")

    assert own_box.local("boot-systemd").returncode == 0
    parts = [f"slipway-{own_id(own_box)}-{part}" for part in ("nginx.service", "apps.target")]
    assert own_box.systemctl("start", *parts).returncode == 0
    deadline = time.monotonic() + 10
    while ask(own_box, "/health", *health, hostname="hello.localhost") != "200":
        assert time.monotonic() < deadline, own_box.journal()
        time.sleep(0.1)
    assert state_of(own_box, "daemon.service") == "inactive"
