"""A malicious app and a malicious build on a real server: what they try, and that nothing of it succeeds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.vps import images
from tests.vps.conftest import Provider
from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server
from tests.vps.test_disks import deploy_worker, log_of

INTRUDER = images.CHECKOUT / "tests/vps/intruder/intruder.py"
NOT_EVEN_ROOT = {"words_left_for_others", "tables_of_cron", "the_kernels_log"}
"""What is looked for from outside; what a bare server has not; what a test server is kept from itself."""
WORD, ROOTS_WORD = "intruders-word", "roots-word"
MEMORY, ROOTS_MEMORY = 0x51AB, 0x51AC
SHARED = "/tmp /var/tmp /dev/shm /run/lock /dev/mqueue"
METADATA = ("169.254.169.254", "100.100.100.200")
LEFT_BY_ROOT = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
assert libc.shmget({ROOTS_MEMORY}, 4096, 0o1666) >= 0
"""
LISTENING = """
import http.server, sys
http.server.ThreadingHTTPServer(("", 80), http.server.SimpleHTTPRequestHandler).serve_forever()
"""
SQUATS = """
import socket, sys, time
while True:
    try:
        listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=0)
        break
    except OSError:
        time.sleep(0.001)
print("squatter listens", flush=True)
while True:
    one, _ = listening.accept()
    print("squatter was asked:", one.recv(4096), flush=True)
    one.sendall(b"HTTP/1.0 200 OK\\r\\n\\r\\nfrom the squatter")
    one.close()
"""


@pytest.fixture
def facts(server: Server, hello: str, provider: Provider) -> dict[str, Any]:
    """What an intruder may know of the server: all of it, so that only what stops him is in his way."""
    deploy_hello(server, hello)
    server.must("slipway", "env", "set", "hello", "SECRET=hidden")
    server.until(lambda: all(one["ended"] for one in server.json("deployments", "hello")), "it has the variable")
    own = server.own_id()
    unit = server.must(
        "sh", "-c", f"systemctl list-units --plain --no-legend 'slipway-{own}-e*-web.0.service'"
    ).split()[0]
    pid = int(server.must("systemctl", "show", "--property=MainPID", "--value", unit))
    build = server.must("sh", "-c", "ls /srv/slipway/builds").split()[0]
    environment = unit.split("-e")[1].split("-")[0]
    prepare_metadata(server)
    server.must("sh", "-c", f"for folder in {SHARED}; do touch $folder/{ROOTS_WORD}; done")
    server.must("python3", "-c", LEFT_BY_ROOT)
    return {
        "secret_paths": [
            f"/srv/slipway/builds/{build}", f"/srv/slipway/builds/{build}/app/server.py",
            f"/srv/slipway/launch/{environment}", f"/srv/slipway/launch/{environment}/1.json",
            f"/srv/slipway/data/{environment}", "/srv/slipway/trash", "/etc/slipway/key",
            "/etc/slipway/slipway.toml", "/etc/slipway/tls/key.pem", "/etc/slipway/nginx/nginx.conf",
            "/etc/shadow", "/root", "/var/lib/slipway/mirrors/1", "/var/lib/slipway/mirrors/1/HEAD",
            "/var/lib/slipway/agent/uids.json", "/var/lib/slipway/postgresql/PG_VERSION",
            f"/var/cache/slipway/builds/{environment}", "/run/slipway/exits", "/run/slipway/marks",
            "/run/slipway/back-off", "/run/credentials",
        ],
        "own_folders": ["/srv/slipway/data/", "/srv/slipway/builds/", "/var/cache/slipway/builds/", "/tmp", "/var/tmp",
                        "/dev"],
        "launcher": "/opt/slipway/current/backend/slipway/host/launcher.py",
        "sockets": [
            "/run/slipway/host.sock", "/run/slipway/admin.sock", "/run/slipway/web.sock", "/run/slipway/nginx.sock",
            "/run/slipway/postgresql/.s.PGSQL.5432", "/run/systemd/private", "/run/systemd/journal/socket",
            "/run/systemd/journal/stdout", "/run/dbus/system_bus_socket",
        ],
        "pids": [pid], "unit": unit, "word": WORD, "roots_word": ROOTS_WORD,
        "shared_memory": MEMORY, "roots_shared_memory": ROOTS_MEMORY, "metadata": METADATA,
        "ports": [int(port) for port in re.findall(r"127\.0\.0\.1:(1\d{4})", server.must("ss", "-ltn"))],
    }  # fmt: skip


def prepare_metadata(server: Server) -> None:
    """A service under the addresses at which providers have theirs."""
    for address in METADATA:
        server.must("ip", "address", "add", f"{address}/32", "dev", "lo")
    server.put("/root/listening.py", LISTENING.replace('"", 80', f'"{METADATA[0]}", 80'))
    server.put("/root/listening2.py", LISTENING.replace('"", 80', f'"{METADATA[1]}", 80'))
    for name in ("listening", "listening2"):
        server.must("systemd-run", "--quiet", f"--unit={name}", "python3", f"/root/{name}.py")


def test_a_malicious_app_and_its_build_get_at_nothing(
    server: Server, facts: dict[str, Any], provider: Provider
) -> None:
    done_by_root = root_does_it(server, facts)
    untried = set(re.findall(r"@attempt\ndef (\w+)", INTRUDER.read_text())) - done_by_root - NOT_EVEN_ROOT
    assert not untried, "what root cannot do either has not been tried"
    provider.publish("intruder", INTRUDER.parent)
    server.must("slipway", "apps", "create", "intruder", "--repo", provider.address("intruder"))
    server.must("slipway", "env", "set", "intruder", f"FACTS={json.dumps(facts)}")
    server.must("slipway", "settings", "intruder", "build_command=python3 intruder.py build")
    server.must("slipway", "deploy", "intruder", "--wait", timeout=300)
    name = f"intruder.{base_of(server)}"
    got = {by: json.loads(ask(server, name, f"/{by}", "--max-time", "120")[1]) for by in ("build", "app")}
    assert got == {"build": {}, "app": {}}
    found = server.must("sh", "-c", f"find {SHARED} -name {WORD} -not -path '*/systemd-private-*'; ipcs -m")
    assert WORD not in found
    assert f"0x{MEMORY:08x}" not in found


def root_does_it(server: Server, facts: dict[str, Any]) -> set[str]:
    """The same list, where nothing is in its way; → what succeeded."""
    server.must("systemd-run", "--quiet", "--unit=to-be-stopped", "sleep", "1000")
    own = {
        "own_folders": ["/usr", "/var", "/etc", "/srv", "/opt"], "unit": "to-be-stopped.service",
        "word": "tried-by-root", "shared_memory": ROOTS_MEMORY + 1,
    }  # fmt: skip
    server.put("/root/facts", json.dumps(facts | own))
    told = server.must("sh", "-c", 'FACTS="$(cat /root/facts)" python3 /checkout/tests/vps/intruder/intruder.py print')
    return set(json.loads(told))


def test_an_app_that_takes_anothers_port_as_it_restarts_gets_none_of_its_visitors(
    server: Server, hello: str, provider: Provider, tmp_path: Path
) -> None:
    deploy_hello(server, hello)
    own, name = server.own_id(), f"hello.{base_of(server)}"
    unit, port = live_instance(server)
    files = {"Procfile": f"worker: python3 squats.py {port}\n", "squats.py": SQUATS}
    deploy_worker(server, provider, tmp_path / "squatter", "squatter", files)
    server.does("an app takes another's port as that is killed and restarts")
    server.must("systemctl", "kill", "--signal=KILL", unit)
    server.until(lambda: "squatter listens" in log_of(server, "squatter"), "it has the port")
    for _ in range(3):
        status, body = ask(server, name, "/for-hello-alone", "--max-time", "60")
        assert status >= 500, "there is nobody who may answer"
        assert "squatter" not in body
    # Without the rule it would have been asked, and answered.
    server.must("nft", "flush", "chain", "inet", f"slipway_{own}", "answers")
    server.until(lambda: ask(server, name, "/for-anybody")[1] == "from the squatter", "it listens in earnest")
    server.until(lambda: "/for-anybody" in log_of(server, "squatter"), "it says what it was asked")
    assert "/for-hello-alone" not in log_of(server, "squatter")
    server.must("systemctl", "reload", f"slipway-{own}-firewall.service")
    assert ask(server, name, "/", "--max-time", "60")[0] >= 500
    server.must("slipway", "apps", "delete", "squatter", "--yes", "--wait")
    server.until(lambda: ask(server, name)[0] == 200, "the app is back", seconds=120)
    agrees(server)
    server.story.notes("it was not asked, and visitors were told that the app does not answer, until it was back")


def live_instance(server: Server) -> tuple[str, int]:
    """Of the example's `web`: its unit and its port."""
    listed = server.must("sh", "-c", f"systemctl list-units --plain --no-legend 'slipway-{server.own_id()}-e*-web.0.*'")
    found = re.search(r"127\.0\.0\.1:(1\d{4})", server.must("ss", "-ltn"))
    assert found is not None
    return listed.split()[0], int(found[1])
