"""Every example, and what frameworks' own generators make, from a Git repository to an answer."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import psutil
import pytest
from tests.integration.builds.builder_run import Workshop, get, running
from websockets.sync.client import connect

from slipway.builds.builder.build import find_tools

EXAMPLES = Path(__file__).parents[3] / "examples"


def test_hello_says_which_release_answers(workshop: Workshop) -> None:
    built = workshop.build(EXAMPLES / "hello")
    assert built.result == {"ok": True, "reason": None}, built.log
    assert set(built.plan.processes) == {"web", "worker"}
    with running(built, {"SLIPWAY_RELEASE": "v7", "GREETING": "<b>Ahoy</b>"}) as address:
        status, page = get(f"{address}/")
        assert status == 200
        assert "v7" in page
        assert "&lt;b&gt;Ahoy" in page
        assert get(f"{address}/health") == (200, "ok\n")
        assert get(f"{address}/nothing")[0] == 404
        body = os.urandom(100_000)
        with urllib.request.urlopen(f"{address}/echo", body, timeout=10) as answer:
            assert answer.read() == body


def test_hello_streams_events_and_echoes_over_a_websocket(workshop: Workshop) -> None:
    with running(workshop.build(EXAMPLES / "hello")) as address:
        with urllib.request.urlopen(f"{address}/events", timeout=10) as stream:
            assert stream.headers["Content-Type"] == "text/event-stream"
            lines = [stream.readline().decode().strip() for _ in range(5)]
            assert lines[0] == "id: 1"
            assert lines[3] == "id: 2"
            assert json.loads(lines[1].removeprefix("data: "))["number"] == 1
        with connect(address.replace("http:", "ws:") + "/ws", compression=None) as websocket:
            for message in ("ahoy", "ä" * 300, b"\0" * 70_000):
                websocket.send(message)
                assert websocket.recv(timeout=10) == message
            assert websocket.ping().wait(10)


def test_hello_ends_when_it_is_asked_to(workshop: Workshop) -> None:
    built = workshop.build(EXAMPLES / "hello")
    environment = {**built.plan.variables, "PORT": "0"}
    for process in ("web", "worker"):
        child = subprocess.Popen(
            ["/bin/sh", "-c", f"exec {built.plan.processes[process]}"],
            cwd=built.plan.directory, env=environment, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert child.stdout is not None
        assert child.stdout.readline()
        child.send_signal(signal.SIGTERM)
        child.communicate(timeout=5)
        assert child.returncode == 0


def test_hello_answers_a_request_that_is_in_flight_when_it_is_asked_to_stop(workshop: Workshop) -> None:
    built = workshop.build(EXAMPLES / "hello")
    with running(built) as address:
        port = int(address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=10) as slow:
            slow.sendall(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nhalf")
            time.sleep(0.2)
            os.kill(listener_on(port), signal.SIGTERM)
            time.sleep(0.3)
            slow.sendall(b"done")
            assert slow.recv(4096).startswith(b"HTTP/1.1 200")


def listener_on(port: int) -> int:
    """The process that listens on a port."""
    listening = [entry for entry in psutil.net_connections("tcp4") if entry.status == psutil.CONN_LISTEN]
    pid = next(entry.pid for entry in listening if entry.laddr and entry.laddr.port == port)
    assert pid is not None
    return pid


@pytest.mark.parametrize(
    ("example", "stack", "framework", "says"),
    [
        ("flask", "python", "Flask", "Hello from Flask"),
        ("fastapi", "python", "FastAPI", "from FastAPI"),
        ("django", "python", "Django", "Hello from Django"),
        ("node-express", "node", "Express", "Hello from Express"),
    ],
)
def test_each_example_is_built_and_answers(
    workshop: Workshop, example: str, stack: str, framework: str, says: str
) -> None:
    built = workshop.build(EXAMPLES / example)
    assert built.result["ok"], built.log
    assert (built.plan.stack, built.plan.framework) == (stack, framework)
    with running(built) as address:
        status, page = get(f"{address}/")
        assert (status, says in page) == (200, True), page
        assert get(f"{address}/health")[0] == 200


def test_django_serves_the_static_files_that_the_build_collected(workshop: Workshop) -> None:
    with running(workshop.build(EXAMPLES / "django")) as address:
        assert get(f"{address}/static/admin/css/base.css")[0] == 200


@pytest.mark.parametrize(("example", "folder"), [("static", "app"), ("vite", "app/dist")])
def test_static_examples_name_the_folder_that_nginx_serves(workshop: Workshop, example: str, folder: str) -> None:
    built = workshop.build(EXAMPLES / example)
    assert built.result["ok"], built.log
    assert built.plan.processes == {}
    assert built.plan.public_folder == str(built.folder / folder)
    assert (built.folder / folder / "index.html").is_file()


# ---- what generators make ------------------------------------------------------------------------------------


def test_what_django_admin_startproject_makes_goes_live_as_it_is(workshop: Workshop) -> None:
    uv = find_tools().uv
    assert uv is not None
    source = workshop.folder / "site"
    source.mkdir()
    subprocess.run(
        [uv, "tool", "run", "--quiet", "--python", "/usr/bin/python3", "--from", "django",
         "django-admin", "startproject", "shop", source],
        check=True, env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_CACHE_DIR": str(workshop.folder / "uv")},
    )  # fmt: skip
    built = workshop.build(source)
    assert built.result["ok"], built.log
    with running(built) as address:
        assert "The install worked successfully" in get(f"{address}/")[1]


@pytest.mark.parametrize("template", ["vanilla", "react"])
def test_what_npm_create_vite_makes_goes_live_as_it_is(workshop: Workshop, template: str) -> None:
    subprocess.run(
        ["npm", "create", "--yes", "vite@latest", "site", "--", "--template", template, "--no-interactive"],
        cwd=workshop.folder, check=True, stdin=subprocess.DEVNULL, capture_output=True,
    )  # fmt: skip
    built = workshop.build(workshop.folder / "site")
    assert built.result["ok"], built.log
    assert built.plan.framework == "Vite"
    assert built.plan.public_folder == str(built.folder / "app/dist")


@pytest.mark.parametrize(
    ("manager", "lock"),
    [
        (["pnpm@10", "install", "--lockfile-only"], "pnpm-lock.yaml"),
        (["yarn@1.22.22", "install", "--non-interactive"], "yarn.lock"),
        (["@yarnpkg/cli-dist@4", "install", "--mode=update-lockfile"], "yarn.lock"),
    ],
)
def test_other_package_managers_are_fetched_and_start_the_same_app(
    workshop: Workshop, manager: list[str], lock: str
) -> None:
    source = workshop.folder / "app"
    shutil.copytree(
        EXAMPLES / "node-express", source, ignore=shutil.ignore_patterns("node_modules", "package-lock.json")
    )
    environment = {**os.environ, "YARN_NODE_LINKER": "node-modules", "CI": ""}
    subprocess.run(["npx", "--yes", *manager], cwd=source, env=environment, check=True, capture_output=True)
    assert (source / lock).is_file()
    built = workshop.build(source)
    assert built.result["ok"], built.log
    with running(built) as address:
        assert "Hello from Express" in get(f"{address}/")[1]


def test_a_uv_lock_is_installed_exactly(workshop: Workshop) -> None:
    uv = find_tools().uv
    assert uv is not None
    source = workshop.folder / "app"
    shutil.copytree(EXAMPLES / "fastapi", source)
    subprocess.run(
        [uv, "lock", "--quiet", "--python", "/usr/bin/python3"], cwd=source, check=True,
        env={**os.environ, "UV_SYSTEM_CERTS": "1", "UV_CACHE_DIR": str(workshop.folder / "uv")},
    )  # fmt: skip
    built = workshop.build(source)
    assert built.result["ok"], built.log
    assert "uv sync --frozen" in built.log
    with running(built) as address:
        assert "from FastAPI" in get(f"{address}/")[1]
