"""Hostile text through every field of a whole box, then every later operation: refused, or inert.

Each text would, if any shell, unit file, nginx site, Git or template took it for its own language, make a file in a
folder that everybody may write to. The folder stays empty.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.conftest import Box

WAIT_SECONDS = 90
ENDED = {"live", "failed", "cancelled", "superseded"}


@pytest.fixture(scope="module")
def nest() -> Iterator[Path]:
    """Where a canary would land: open to every user, outside of every private /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="nest-", dir="/var/tmp"))
    folder.chmod(0o1777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def api(box: Box) -> Iterator[httpx.Client]:
    """The operator's way in: every field without a form in between."""
    transport = httpx.HTTPTransport(uds=str(box.state / "run/slipway/admin.sock"))
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as client:
        yield client


def hostile(nest: Path) -> list[str]:
    touch = f"touch {nest}/canary"
    return [
        f";{touch};",
        f"$({touch})",
        f"`{touch}`",
        f"| {touch} #",
        f"x\n{touch}\n",
        f"x\r\nExecStartPre=/bin/sh -c '{touch}'\r\n",
        f"x\nExecStartPre=+/bin/sh -c '{touch}'",
        f"'; {touch}; '",
        f'"; {touch}; "',
        f"x\0{touch}",
        f"--upload-pack={touch}",
        f"-oProxyCommand={touch}",
        f"ext::sh -c {touch}",
        f"--exec={touch}",
        "../../../../etc",
        "..",
        "/etc/passwd",
        "-rf",
        "%n%i{{ 7*7 }}{% raw %}",
        "{{ ''.__class__.__mro__ }}",
        "${IFS}x${x}",
        f"x; }} server {{ listen 127.0.0.1:1; }} # {touch}",
        "<script>document.title='canary'</script>",
        "\x1b]0;canary\x07",
        "\N{RIGHT-TO-LEFT OVERRIDE}x",
        "\ud800",
        "x" * 70_000,
    ]


def git(repository: Path, *arguments: str) -> str:
    identity = {
        "GIT_AUTHOR_NAME": "A",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "A",
        "GIT_COMMITTER_EMAIL": "a@b",
    }
    ended = subprocess.run(
        ["git", "-C", str(repository), *arguments],
        env=os.environ | identity,
        check=True,
        capture_output=True,
        text=True,
    )
    return ended.stdout.strip()


SERVER = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ.get("GIVEN", "").encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.fixture(scope="module")
def repository(nest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working app among hostile file names, branches, subjects and links."""
    folder = tmp_path_factory.mktemp("hostile")
    git(folder, "init", "-q", "-b", "main")
    (folder / "server.py").write_text(SERVER)
    (folder / "Procfile").write_text("web: python3 server.py\n")
    touch = f"touch {nest}/canary".replace("/", "\\")
    for name in (f"$({touch})", f";{touch};", "--upload-pack=x", "-rf", "a\nb", "'\"{}", "\x1b[31m", ".gitattributes"):
        (folder / name).write_text("* filter=evil\n")
    (folder / "link").symlink_to("/etc/slipway/key")
    (folder / "loop").symlink_to("loop")
    git(folder, "add", "--all")
    git(folder, "commit", "-q", "-m", "$(id) <script>x</script> \x1b]0;x\x07 {{ 7*7 }}",
        "--author", "$(id) <a@b>")  # fmt: skip
    for branch in ("x;id", "x$(id)", "x'y", "--not-an-option"):
        subprocess.run(["git", "-C", str(folder), "update-ref", f"refs/heads/{branch}", "main"], check=False)
    for hook in ("post-checkout", "reference-transaction", "upload-pack", "post-upload-pack", "pre-receive"):
        script = folder / ".git/hooks" / hook
        script.write_text(f"#!/bin/sh\nid > {nest}/canary\n")
        script.chmod(0o755)
    config = folder / ".git/config"
    config.write_text(
        config.read_text()
        + f'[filter "evil"]\n\tsmudge = touch {nest}/canary\n\tclean = cat\n'
        + f"[uploadpack]\n\tpackObjectsHook = touch {nest}/canary\n"
    )
    for path in (folder, folder.parent, folder.parent.parent):
        path.chmod(0o755)
    return folder


def send(api: httpx.Client, method: str, path: str, body: Any) -> httpx.Response | None:
    """None: the text cannot even be said in JSON."""
    try:
        content = json.dumps(body, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return None
    return api.request(method, path, content=content, headers={"Content-Type": "application/json"})


def wait_for(api: httpx.Client, app: str, deployment: int) -> dict[str, Any]:
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found: dict[str, Any] = api.get(f"/api/apps/{app}/deployments/{deployment}").json()["deployment"]
        if found["state"] in ENDED:
            return found
        time.sleep(0.1)
    raise AssertionError(f"deployment {deployment} of {app} did not end")


def deploy(api: httpx.Client, app: str, environment: str = "production") -> dict[str, Any]:
    asked = api.post(f"/api/apps/{app}/environments/{environment}/deployments", json={})
    assert asked.status_code == 201, asked.text
    return wait_for(api, app, asked.json()["id"])


def test_hostile_text_in_any_field_is_refused_or_inert_in_every_later_operation(
    box: Box, api: httpx.Client, nest: Path, repository: Path
) -> None:
    created = api.post("/api/apps", json={"name": "hostile", "repository": str(repository)})
    assert created.status_code == 201, created.text
    environment = "/api/apps/hostile/environments/production"

    for text in hostile(nest):
        # Where only a grammar's words are possible, everything of this is refused.
        for method, path, body in (
            ("POST", "/api/apps", {"name": text, "repository": str(repository)}),
            ("POST", "/api/apps", {"name": "other", "repository": text}),
            ("POST", "/api/apps", {"name": "other", "repository": str(repository), "branch": text}),
            ("POST", "/api/apps", {"name": "other", "repository": str(repository), "base_directory": text}),
            ("POST", "/api/apps/hostile/environments", {"name": text, "branch": "main"}),
            ("POST", "/api/apps/hostile/environments", {"name": "other", "branch": text}),
            ("PATCH", environment, {"branch": text}),
            ("POST", f"{environment}/deployments", {"commit": text}),
            ("POST", f"{environment}/rollback", {"to": text}),
            ("PUT", f"{environment}/scale", {text: 1}),
            ("PATCH", f"{environment}/variables", {"set": {text: "x"}}),
            ("PATCH", f"{environment}/variables", {"set": {"LD_PRELOAD": text}}),
            ("PATCH", environment, {"settings": {"health_path": text}}),
            ("PATCH", environment, {"settings": {text: "x"}}),
        ):
            answer = send(api, method, path, body)
            if answer is None:
                continue
            harmless = text == "/etc/passwd" and ("repository" in body or "health_path" in str(body))
            if harmless and answer.status_code < 300:
                continue
            if answer.status_code == 201 and body.get("name") == "other":  # inert there: a plain path, say
                assert api.delete("/api/apps/other").status_code < 300
                continue
            assert 400 <= answer.status_code < 500, (method, path, body, answer.status_code, answer.text[:300])
        # A value of a variable may be anything but NUL; a path of a request is just not found.
        answer = send(api, "PATCH", f"{environment}/variables", {"set": {"GIVEN": text}})
        assert answer is None or answer.status_code in (200, 400, 413, 422), answer.text[:300]
        assert api.get(f"/api/apps/{text[:200].encode('utf-8', 'replace').hex()}").status_code == 404
    assert api.patch(environment, json={"settings": {"health_path": None}}).status_code == 200

    values = [text for text in hostile(nest) if "\0" not in text and "\ud800" not in text and len(text) < 1000]
    given = "\n".join(values)
    assert api.patch(f"{environment}/variables", json={"set": {"GIVEN": given}}).status_code == 200
    first = deploy(api, "hostile")
    assert first["state"] == "live", first
    served = httpx.get(f"http://127.0.0.1:{box.port}/", headers={"Host": f"hostile.localhost:{box.port}"})
    assert served.text == given, "the app is given its variable to the letter"

    assert deploy(api, "hostile")["state"] == "live"
    back = api.post(f"{environment}/rollback", json={})
    assert wait_for(api, "hostile", back.json()["id"])["state"] == "live"
    assert api.put(f"{environment}/scale", json={"web": 2}).status_code == 200
    for path in ("log", "releases", "deployments", "processes", "crashes", "variables"):
        assert api.get(f"{environment}/{path}").status_code == 200
    log = api.get(f"/api/apps/hostile/deployments/{first['id']}/log").text
    assert "\x1b]" not in log, "a commit's subject cannot speak to the reader's terminal"
    for command in (("status",), ("doctor",), ("apps", "list"), ("releases", "hostile"), ("deployments", "hostile")):
        ended = box.slipway(*command)
        assert ended.returncode == 0, ended.stderr
        assert "\x1b]" not in ended.stdout
    assert api.delete("/api/apps/hostile").status_code < 300
    deadline = time.monotonic() + WAIT_SECONDS
    while api.get("/api/apps/hostile").status_code != 404:
        assert time.monotonic() < deadline, "the app is not gone"
        time.sleep(0.2)
    assert list(nest.iterdir()) == [], "something took text for a command"


@pytest.mark.parametrize(
    "name",
    ["install_command", "build_command", "start_command", "release_command", "public_folder"],
)
def test_settings_that_break_out_of_one_line_are_refused(
    api: httpx.Client, repository: Path, nest: Path, name: str
) -> None:
    api.post("/api/apps", json={"name": "lines", "repository": str(repository)})
    for text in (f"x\ntouch {nest}/canary", "x\0y", "x\ry", "y" * 5000):
        answer = send(api, "PATCH", "/api/apps/lines/environments/production", {"settings": {name: text}})
        assert answer is not None
        assert answer.status_code in (400, 422), (name, text[:50], answer.text[:300])
    if name == "public_folder":
        for text in ("../..", "/etc", "a/../../b", ".git"):
            answer = send(api, "PATCH", "/api/apps/lines/environments/production", {"settings": {name: text}})
            assert answer is not None
            assert answer.status_code in (400, 422), (text, answer.text[:300])


def test_a_users_own_commands_run_as_the_build_user_and_see_nothing_of_slipway(
    box: Box, api: httpx.Client, repository: Path, nest: Path
) -> None:
    """Commands are meant to be run: what counts is as whom, and what they reach."""
    key = (box.state / "etc/slipway/key").read_bytes().hex()
    api.post("/api/apps", json={"name": "nosy", "repository": str(repository)})
    look = (
        f"id -un > {nest}/who; for f in /etc/slipway/key /run/slipway/host.sock /run/slipway/admin.sock "
        "/run/slipway/postgresql /var/lib/slipway/agent /var/log/slipway; do "
        "(ls -d $f/. || cat $f) >/dev/null 2>&1 && echo REACHED $f; done; "
        "cat /etc/slipway/key 2>/dev/null; ls /srv/slipway/builds /srv/slipway/data /srv/slipway/launch; true"
    )
    changed = send(api, "PATCH", "/api/apps/nosy/environments/production", {"settings": {"build_command": look}})
    assert changed is not None
    assert changed.status_code == 200, changed.text
    ended = deploy(api, "nosy")
    log = api.get(f"/api/apps/nosy/deployments/{ended['id']}/log").text
    assert ended["state"] == "live", log
    assert "REACHED /" not in log
    assert key not in log.encode().hex()
    assert api.delete("/api/apps/nosy").status_code < 300
    for canary in nest.iterdir():  # the folder is not in the sandbox, or the build user's own
        assert canary.owner() not in ("root", "slipway"), canary
        canary.unlink()
