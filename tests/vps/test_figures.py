"""Figures on a server: with its own users, slices and log folders."""

import json
from typing import Any

from tests.vps.outside import ask, base_of, deploy_hello
from tests.vps.servers import Server


def figures(server: Server, path: str) -> list[dict[str, Any]]:
    asked = ["curl", "-s", "--unix-socket", "/run/slipway/admin.sock", f"http://localhost/api/{path}"]
    points: list[dict[str, Any]] = json.loads(server.must(*asked))["points"]
    return points


def test_what_an_app_and_the_server_use_is_seen_and_each_visit_is_counted(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    path = "apps/hello/environments/production/metrics"
    before = sum(point["answers"]["requests"] for point in figures(server, path))
    for _ in range(9):
        assert ask(server, f"hello.{base_of(server)}")[0] == 200
    server.must("logrotate", "--force", "/etc/logrotate.d/slipway")
    for _ in range(4):
        assert ask(server, f"hello.{base_of(server)}")[0] == 200

    def visits() -> int:
        return sum(point["answers"]["requests"] for point in figures(server, path)) - before

    server.until(lambda: visits() >= 13, "the visits are counted")
    assert visits() == 13
    server.until(lambda: any(point["cpu"] for point in figures(server, path)), "the app's processor is measured")
    newest = [point for point in figures(server, path) if point["cpu"] is not None][-1]
    assert newest["memory"] > 5 * 2**20
    assert newest["tasks"] >= 1
    server.until(lambda: any(point["cpu"] for point in figures(server, "system/metrics")), "the server is measured")
