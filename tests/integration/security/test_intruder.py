"""What an app or its repository could do to others, tried from where an intruder stands."""

import contextlib
import re
import shutil
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from tests.integration.conftest import Box, run
from tests.integration.deployments.helpers import query

from slipway.accounts.service import FAILURES_PER_ADDRESS

WEB = """
import http.server, os
open("/dev/shm/intruder-canary", "w").write("seen by all")
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(self.headers["Host"].encode())
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def victim(box: Box) -> Iterator[str]:
    """An app that runs; → its name."""
    repository = Path(tempfile.mkdtemp(prefix="victim-", dir="/var/tmp"))
    repository.chmod(0o755)
    (repository / "Procfile").write_text("web: python3 web.py\n")
    (repository / "web.py").write_text(WEB)
    for arguments in (
        ("init", "-q", "-b", "main"),
        ("add", "-A"),
        ("-c", "user.name=A", "-c", "user.email=a@b", "commit", "-qm", "First"),
    ):
        run("git", "-C", str(repository), *arguments)
    box.json("apps", "create", "victim", "--repo", str(repository))
    ended = box.slipway("deploy", "victim", "--wait")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    yield "victim"
    box.slipway("apps", "delete", "victim", "--yes")
    shutil.rmtree(repository)


def test_shared_memory_of_an_app_is_its_own(box: Box, victim: str) -> None:
    assert "intruder-canary" not in box.enter("ls", "/dev/shm").stdout


def test_a_mirror_of_another_app_is_no_repository_by_whatever_path(box: Box, victim: str, tmp_path: Path) -> None:
    mirrors = box.state / "var/lib/slipway/mirrors"
    mirror = max(mirrors.iterdir(), key=lambda folder: int(folder.name))
    link = tmp_path / "link"
    link.symlink_to(mirror)
    for number, path in enumerate((f"/var/lib/slipway/mirrors/{mirror.name}", str(mirror), str(link))):
        name = f"thief-{number}"
        box.json("apps", "create", name, "--repo", path)
        ended = box.slipway("deploy", name, "--wait")
        assert ended.returncode != 0
        assert "Slipway's own folders" in ended.stdout + ended.stderr
        box.slipway("apps", "delete", name, "--yes")


def test_a_host_header_is_the_name_that_chose_the_site(box: Box, victim: str) -> None:
    hostname = f"{victim}.localhost"
    assert ask(box, "/", f"{hostname}:{box.port}") == f"{hostname}:{box.port}"
    assert ask(box, "/", hostname) == hostname
    # An address in the request line chooses the site; the header beside it is an intruder's.
    assert ask(box, f"http://{hostname}/", "evil.example") == hostname
    assert ask(box, f"http://{hostname}/", f"{hostname}.evil.example") == hostname


def test_a_stolen_session_is_of_no_use_to_an_app(box: Box, victim: str) -> None:
    with httpx.Client(base_url=box.url(), headers={"Origin": box.url()}) as browser:
        link = re.search(r"http://\S+", box.slipway("setup-link").stdout)
        assert link is not None
        person = {"name": "Ann", "email": "intruder@example.org", "password": "correct horse battery staple"}
        browser.post(link.group(), data=person)
        assert browser.get("/api/apps").status_code == 200
        cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    token = box.json("token", "create", "--name", "script", "--email", person["email"])["token"]
    as_app = ("setpriv", "--reuid", run_user(box), "--clear-groups")
    assert run(*asking(box, f"Cookie: {cookie}")).stdout == "200"
    assert box.enter(*as_app, *asking(box, f"Cookie: {cookie}")).stdout == "403"
    # A script's token is made to be used from anywhere.
    assert box.enter(*as_app, *asking(box, f"Authorization: Bearer {token}")).stdout == "200"


@pytest.fixture
def no_failures(box: Box) -> Iterator[None]:
    """Other tests sign in from the same address."""
    query(box, "DELETE FROM sign_in_failures")
    yield
    query(box, "DELETE FROM sign_in_failures")


def test_addresses_that_a_client_makes_up_do_not_get_around_the_limit_of_failed_sign_ins(
    box: Box, no_failures: None
) -> None:
    def attempt(number: int) -> int:
        """Sign in wrongly as somebody else each time, from what seems to be another address each time."""
        made_up = f"203.0.113.{number}"
        headers = {
            "X-Forwarded-For": made_up,
            "X-Real-IP": made_up,
            "X-Slipway-Client": f"{made_up}:1",
            "Forwarded": f"for={made_up}",
        }
        if number % 2:
            headers["X-Forwarded-For"] = f"{made_up}, 198.51.100.{number}"
        form = {"email": f"somebody-{number}@example.org", "password": "a wrong password"}
        return browser.post("/sign-in", data=form, headers=headers).status_code

    with httpx.Client(base_url=box.url(), headers={"Origin": box.url()}, timeout=30) as browser:
        answers = [attempt(number) for number in range(FAILURES_PER_ADDRESS + 3)]
    assert answers == [422] * FAILURES_PER_ADDRESS + [429] * 3
    assert query(box, "SELECT DISTINCT subject FROM sign_in_failures WHERE subject LIKE 'address:%'") == (
        "address:127.0.0.1"
    )


def asking(box: Box, header: str) -> list[str]:
    """The command that prints the status of a request for the apps."""
    return ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", header, f"{box.url()}/api/apps"]


def run_user(box: Box) -> str:
    """A user that runs an app."""
    names = box.enter("getent", "passwd").stdout.splitlines()
    return next(line.split(":")[2] for line in names if re.match(r"sl-[a-z0-9]{4}-r", line))


def ask(box: Box, target: str, host: str) -> str:
    with socket.create_connection(("127.0.0.1", box.port), timeout=10) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert " 200 " in head.partition("\r\n")[0], answer
    return body.split("\r\n")[1] if "chunked" in head else body


RESTLESS = """
import os, shutil, signal
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    while True:
        shutil.rmtree("public", ignore_errors=True)
        os.symlink("/etc", "public")
        os.unlink("public")
        os.mkdir("public")
        open("public/index.html", "w").write("served")
"""


def test_a_build_that_swaps_its_folder_for_a_link_for_as_long_as_it_lives_shows_nothing(box: Box) -> None:
    """Whichever of the two is there when root looks: refused, or served as a folder of its own."""
    with repository({"index.html": "served", "public/index.html": "served", "restless.py": RESTLESS}) as folder:
        box.json("apps", "create", "restless", "--repo", str(folder))
        changes = ("build_command=python3 restless.py", "public_folder=public")
        assert box.slipway("settings", "restless", *changes).returncode == 0
        for _ in range(5):
            box.slipway("deploy", "restless", "--wait")
            assert box.json("deployments", "restless")[0]["ended"]
            for path in ("/passwd", "/hostname", "/slipway/slipway.toml"):
                # A folder of its own may answer any path with its index page.
                asked = run("curl", "-s", "-H", f"Host: restless.localhost:{box.port}", f"{box.url()}{path}").stdout
                secret = box.enter("cat", f"/etc{path}").stdout
                assert secret
                assert secret not in asked
        assert box.enter("pgrep", "-f", "restless.py").stdout == "", "a process of the build outlived it"
        box.slipway("apps", "delete", "restless", "--yes")


@contextlib.contextmanager
def repository(files: dict[str, str]) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="app-", dir="/var/tmp"))
    folder.chmod(0o755)
    try:
        for name, text in files.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(text)
        git = ("git", "-C", str(folder), "-c", "user.name=A", "-c", "user.email=a@b")
        for arguments in (("init", "-q", "-b", "main"), ("add", "-A"), ("commit", "-qm", "First")):
            run(*git, *arguments)
        yield folder
    finally:
        shutil.rmtree(folder)
