"""What one app or build may take from the others: memory, processes, connections. The rest goes on."""

import json
import math
import re
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import WEB, Deployable, query, until
from tests.integration.deployments.leftovers import nothing_is_left_behind
from tests.integration.deployments.test_failures import limits
from tests.integration.deployments.test_runtime_logs import log_path
from tests.integration.security.test_outside import PERSON, setup_path
from tests.vps.boxes import OnServer
from tests.vps.outside import agrees

EATS = """import threading, time
def eat():
    time.sleep({after})
    kept = []
    while True:
        kept.append(bytearray(2**20))
threading.Thread(target=eat, daemon=True).start()
import server
server.main()
"""
FORKS = """import os, time
while True:
    try:
        os.fork()
    except OSError:
        time.sleep(1)
"""
BIG = """import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        size = 10 * 2**30 if self.path == "/big" else 2
        self.send_header("Content-Length", str(size))
        self.end_headers()
        try:
            while size > 0:
                size -= self.wfile.write(bytes(min(size, 2**20)))
        except OSError:
            pass
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
BUSY = "for i in 1 2 3 4; do timeout 8 sh -c 'while :; do :; done' & done; python3 -c 'bytearray(10**9)'; wait"


@pytest.fixture
def bystander(make: Make) -> Deployable:
    """Another app, whom nothing of what happens to the first may touch."""
    app = make()
    app.go_live()
    return app


@contextmanager
def visited(app: Deployable) -> Iterator[list[float]]:
    """One visitor after another, each of whom must be answered; → how long each waited."""
    waited: list[float] = []
    failed: list[str] = []
    over = threading.Event()

    def visit() -> None:
        with app.box.visitor(app.name) as visitor:
            while not over.is_set():
                began = time.monotonic()
                try:
                    if (status := visitor.get("/").status_code) != 200:
                        failed.append(str(status))
                except httpx.HTTPError as error:
                    failed.append(repr(error))
                waited.append(time.monotonic() - began)
                over.wait(0.005)

    visitors = [threading.Thread(target=visit) for _ in range(2)]
    for one in visitors:
        one.start()
    try:
        yield waited
    finally:
        over.set()
        for one in visitors:
            one.join()
    assert not failed, f"{len(failed)} of {len(waited)}: {failed[:3]}"


def p99(waited: list[float]) -> float:
    return sorted(waited)[math.ceil(len(waited) * 0.99) - 1]


def test_a_build_that_is_out_of_memory_fails_and_the_old_release_serves(
    make: Make, bystander: Deployable, box: OnServer
) -> None:
    app = make()
    app.repository.commit({"all.py": "kept = []\nwhile True:\n    kept.append(bytearray(2**20))\n"})
    app.go_live()
    with limits(box, build_memory=128), visited(bystander):
        box.restart("daemon")
        box.does("a build that takes all memory it can get")
        ended = app.wait(builds_by(app, "python3 all.py"))
        assert ended["state"] == "failed"
        assert app.answering() == "v2"
        agrees(box.server)
    box.restart("daemon")  # with the limits that there are otherwise
    box.server.story.notes(f"“{ended['reason']}”")


def test_an_app_in_an_out_of_memory_loop_is_taken_back(make: Make, bystander: Deployable, box: OnServer) -> None:
    app = make()
    app.change_settings(memory=64)
    app.go_live()
    app.repository.commit({"eats.py": EATS.format(after=3), "Procfile": "web: python3 eats.py\n"})
    box.does("a release whose memory grows without an end, 3 s after each start")
    with visited(bystander):
        assert app.deploy()["state"] == "live"
        until(lambda: app.live() == "v1", "the release is taken back", 90)
        agrees(box.server)
    assert any(crash["out_of_memory"] for crash in app.crashes())
    box.server.story.notes("told as out of memory; rolled back by itself")


def test_a_fork_bomb_in_an_app_stays_in_its_slice(make: Make, bystander: Deployable, box: OnServer) -> None:
    app = make(f"{WEB}\nworker: python3 forks.py")
    app.repository.commit({"forks.py": FORKS})
    app.scale(worker=0)
    app.go_live()
    with visited(bystander):
        box.does("a fork bomb in a worker")
        app.scale(worker=1)
        until(lambda: tasks_of(app) > 20, "it forks")
        assert box.server.run("slipway", "status").returncode == 0
        app.scale(worker=0)
        agrees(box.server)
    box.server.story.notes("the other app lost no request; nothing is left of it once scaled to none")


def test_a_fork_bomb_in_a_build_ends_with_the_build(make: Make, bystander: Deployable, box: OnServer) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"forks.py": FORKS})
    with visited(bystander):
        box.does("a fork bomb in a build, and its cancellation")
        number = builds_by(app, "python3 forks.py")
        app.wait_for_state(number, ("building",))
        until(lambda: tasks_of(app, "build") > 100, "it forks")
        assert app.cancel(number).is_success
        app.wait(number)
        agrees(box.server)
    assert app.answering() == "v2"


def builds_by(app: Deployable, command: str) -> int:
    """→ a deployment whose build runs a command; what was live is v2, released anew with that setting."""
    app.change_settings(build_command=command)
    return app.request()


def tasks_of(app: Deployable, kind: str = "run") -> int:
    """Processes of the app's run or build user."""
    user = f"sl-{app.box.id}-{kind[0]}{app.environment_id}"
    return len(app.box.enter("ps", "-U", user, "-o", "pid=").stdout.split())


def test_clients_that_never_read_cost_others_nothing(make: Make, bystander: Deployable, box: OnServer) -> None:
    app = make(f"{WEB}\nworker: while true; do seq 200; sleep 0.05; done")
    app.repository.commit({"server.py": BIG})
    app.go_live()
    before = memory_of(box, "daemon")
    held = []
    box.does("20 readers of a log that grows, and 20 of a download of 10 GB, of whom none takes anything")
    try:
        for _ in range(20):
            reader = socket.socket(socket.AF_UNIX)
            reader.connect(str(box.state / "run/slipway/admin.sock"))
            reader.sendall(f"GET /api{log_path(app)}/stream HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            held.append(reader)
            visitor = box.connect(app.name)
            visitor.sendall(f"GET /big HTTP/1.1\r\nHost: {box.hostname(app.name)}\r\n\r\n".encode())
            held.append(visitor)
        with visited(bystander):
            bystander.repository.commit({"change": "while they hang"})
            bystander.go_live()
        grown = (memory_of(box, "daemon") - before) / 2**20
    finally:
        for one in held:
            one.close()
    app.scale(worker=0)
    agrees(box.server)
    box.server.story.notes(
        f"the other app lost no request and was deployed; the daemon's memory grew by {grown:.0f} MB"
    )
    assert grown < 100


def memory_of(box: OnServer, part: str) -> int:
    """Bytes that a part of Slipway's keeps in memory (proc(5), status)."""
    pid = box.systemctl("show", "--property=MainPID", "--value", box.unit(part)).stdout.strip()
    found = re.search(r"^VmRSS:\s+(\d+) kB", (box.proc / pid / "status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


CROWD, PLACES = 10_000, 2500
OF_ONE = "s/^(of_account|of_address) = .*/\\1 = 20000/"


def test_ten_thousand_who_want_event_streams_get_as_many_as_there_are_and_the_rest_is_told_so(
    bystander: Deployable, box: OnServer
) -> None:
    """In the settings there are 2,500; here one account may have all of them."""
    box.server.must("sed", "-Ei", OF_ONE, "/etc/slipway/slipway.toml")
    box.restart("daemon")
    with box.browser() as person:
        assert person.post(setup_path(box), data=PERSON).status_code == 303
    token = box.json("token", "create", "--name", "crowd", "--email", PERSON["email"])["token"]
    before = api_answers(box, token, 300)
    box.does("10,000 clients that ask for an event stream of the panel and keep what they get")
    argv = [sys.executable, "-m", "tests.benchmarks.crowd", str(box.state / "run/slipway/web.sock"), box.panel]
    with (
        visited(bystander),
        subprocess.Popen([*argv, str(CROWD)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd,
    ):
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        crowd.stdin.write(f"{token}\n")
        crowd.stdin.flush()
        come = select.poll()
        come.register(crowd.stdout, select.POLLIN)
        meanwhile: list[float] = []
        while not come.poll(0):
            meanwhile += api_answers(box, token, 20)
        assert json.loads(crowd.stdout.readline()) == {"200": PLACES, "503": CROWD - PLACES}
        bystander.repository.commit({"change": "beside a crowd"})
        bystander.go_live()
        crowd.stdin.close()
    agrees(box.server)
    box.server.story.notes(
        f"{PLACES:,} got one, the others 503; the app lost no request and was deployed; the API's slowest hundredth: "
        f"{p99(before) * 1000:.0f} ms before, {p99(meanwhile) * 1000:.0f} ms while they came"
    )
    nothing_is_left_behind(box)


def api_answers(box: OnServer, token: str, count: int) -> list[float]:
    """How long each answer took; every one must be right."""
    waited = []
    with box.browser() as one:
        for _ in range(count):
            began = time.monotonic()
            assert one.get("/api/apps", headers={"Authorization": f"Bearer {token}"}).status_code == 200
            waited.append(time.monotonic() - began)
    return waited


def test_a_daemon_without_a_free_file_descriptor_works_again_once_it_has_some(
    bystander: Deployable, box: OnServer
) -> None:
    drop_in = f"/run/systemd/system/{box.unit('daemon')}.d"
    box.server.must("mkdir", "-p", drop_in)
    box.server.put(f"{drop_in}/few.conf", "[Service]\nLimitNOFILE=100\n")
    box.server.must("systemctl", "daemon-reload")
    box.restart("daemon")
    held: list[socket.socket] = []
    try:
        box.does("more connections to the daemon than it may have open files (100)")
        with visited(bystander):
            for _ in range(200):
                one = socket.socket(socket.AF_UNIX)
                one.settimeout(5)
                one.connect(str(box.state / "run/slipway/admin.sock"))
                held.append(one)
            until(lambda: open_files(box) >= 95, "it has no file descriptor left")
        for one in held:
            one.close()
        bystander.repository.commit({"change": "with free ones"})
        bystander.go_live()
    finally:
        for one in held:
            one.close()
        box.server.must("rm", "-r", drop_in)
        box.server.must("systemctl", "daemon-reload")
    agrees(box.server)
    box.server.story.notes("the app lost no request; afterwards it deploys")
    box.restart("daemon")


def open_files(box: OnServer) -> int:
    pid = box.systemctl("show", "--property=MainPID", "--value", box.unit("daemon")).stdout.strip()
    return len(list((box.proc / pid / "fd").iterdir())) if pid != "0" else 0


def test_an_app_is_served_while_a_build_takes_what_it_can(make: Make, bystander: Deployable, box: OnServer) -> None:
    """How much slower that makes it is measured and written down; that everybody is answered decides."""
    app = make()
    app.go_live()
    with visited(bystander) as idle:
        until(lambda: len(idle) >= 300, "three hundred were answered")
    box.does("a build that keeps every processor and 1 GB of memory busy")
    with visited(bystander) as under_load:
        assert app.wait(builds_by(app, BUSY), 120)["state"] == "live"
        agrees(box.server)
    box.server.story.notes(
        f"an app's slowest hundredth: {p99(idle) * 1000:.0f} ms before, {p99(under_load) * 1000:.0f} ms meanwhile"
    )
    assert query(box, "SELECT count(*) FROM deployments WHERE state = 'building'") == "0"
    nothing_is_left_behind(box)
