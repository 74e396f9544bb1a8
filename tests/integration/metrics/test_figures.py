"""Figures of a real app on a real box: what was asked of it and what it used, after the next look."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make, makes
from tests.integration.deployments.helpers import Deployable, query, until

BUSY = """
import threading, time
def work():
    while True:
        sum(range(10000))
held = bytearray(60 * 2**20)
threading.Thread(target=work, daemon=True).start()
print("busy", flush=True)
time.sleep(1e9)
"""
EATER = """
import os, time
while not os.path.exists(os.path.join(os.environ["SLIPWAY_DATA"], "eat")):
    time.sleep(0.1)
held = b"x" * 2**30
"""


@pytest.fixture
def make(box: Box, tmp_path: Path) -> Iterator[Make]:
    yield from makes(box, tmp_path)


def figures(app: Deployable, **asked: object) -> list[dict[str, Any]]:
    words = "&".join(f"{name}={value}" for name, value in asked.items())
    found = app.api("GET", f"/apps/{app.name}/environments/production/metrics?{words}")
    points: list[dict[str, Any]] = found["points"]
    return points


def total(app: Deployable, field: str, **asked: object) -> int:
    return sum(point["answers"][field] for point in figures(app, **asked))


def test_as_many_requests_are_counted_as_were_made_through_a_rotation_and_a_killed_daemon(box: Box, make: Make) -> None:
    app = make()
    app.go_live()  # Slipway's own questions to a new release are no visitor's
    made = 0

    def ask(path: str = "/") -> int:
        nonlocal made
        made += 1
        return app.ask(path).status_code

    assert [ask() for _ in range(20)] == [200] * 20
    assert [ask("/fail") for _ in range(7)] == [500] * 7
    assert ask("/%22,%22status%22:500,%22environment%22:%22999%22%0a%ff") == 200
    until(lambda: total(app, "requests") >= made, "what was asked is counted")
    assert (total(app, "requests"), total(app, "ok"), total(app, "server_errors")) == (28, 21, 7)

    log = box.state / "var/log/slipway/access.log"
    rotated = log.rename(log.with_name("access.log.1"))
    box.enter("install", "--mode=640", "--owner=root", "--group=slipway", "/dev/null", "/var/log/slipway/access.log")
    assert ask() == 200, "nginx goes on in the file that it has open"
    box.enter("sh", "-c", "kill -USR1 $(cat /run/slipway/nginx.pid)")
    until(lambda: ask() == 200 and log.stat().st_size > 0, "nginx writes to the new file")
    until(lambda: total(app, "requests") >= made, "what was asked is counted")
    assert total(app, "requests") == made

    box.systemctl("kill", "--signal=KILL", box.unit("daemon"))
    assert [ask() for _ in range(5)] == [200] * 5, "apps do not need the daemon"
    until(lambda: box.slipway("status").returncode == 0, "the daemon is back")
    until(lambda: total(app, "requests") >= made, "what was asked meanwhile is counted")
    assert ask() == 200
    until(lambda: total(app, "requests") >= made, "what is asked now is counted")
    assert total(app, "requests") == made, "nothing twice"
    rotated.unlink()


def test_what_an_app_uses_is_seen_and_nothing_of_an_app_that_rests(box: Box, make: Make) -> None:
    busy, idle = make("web: python3 server.py\nworker: python3 busy.py"), make()
    busy.repository.commit({"busy.py": BUSY})
    for app in (busy, idle):
        app.go_live()

    def measured(app: Deployable) -> list[dict[str, Any]]:
        return [point for point in figures(app, step=15) if point["cpu"] is not None]

    until(lambda: len(measured(busy)) >= 2 and len(measured(idle)) >= 2, "both were looked at twice")
    assert measured(busy)[-1]["cpu"] > 5 * measured(idle)[-1]["cpu"]
    assert measured(busy)[-1]["memory"] > 60 * 2**20
    assert measured(busy)[-1]["memory"] > measured(idle)[-1]["memory"] + 30 * 2**20
    assert measured(idle)[-1]["tasks"] >= 1


def test_a_kill_for_memory_is_counted(make: Make) -> None:
    app = make("web: python3 server.py\nworker: python3 eater.py")
    app.repository.commit({"eater.py": EATER})
    app.go_live()
    (app.data / "eat").touch()
    until(lambda: any(crash["out_of_memory"] for crash in app.crashes()), "the worker was killed")
    (app.data / "eat").unlink()
    until(lambda: sum(point["oom_kills"] for point in figures(app)) >= 1, "the kill is counted")


def test_the_box_is_looked_at_too_and_its_figures_are_put_together(box: Box, make: Make) -> None:
    api = make().api
    until(lambda: any(p["cpu"] for p in api("GET", "/system/metrics")["points"]), "the box has figures")
    found = api("GET", "/system/metrics")
    assert found["cores"] >= 1
    newest = [point for point in found["points"] if point["cpu"] is not None][-1]
    assert 0 < newest["memory"] < found["memory"]
    assert 0 < newest["disk"] < found["disk"]
    until(lambda: int(query(box, "SELECT count(*) FROM box_figures WHERE step = 60")) > 0, "a minute is made", 150)
