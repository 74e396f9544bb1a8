"""What fails before the switch leaves the old release serving, says why in plain words, and leaves nothing behind."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.integration.conftest import Box, quiet_port
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import PATIENCE, WEB, Deployable, query, until


def fails(app: Deployable) -> str:
    """Deploy what is committed: it must fail and leave v1 serving; → the reason."""
    ended = app.deploy()
    assert ended["state"] == "failed", app.log(ended["id"])
    assert app.answering() == "v1"
    assert app.live() == "v1"
    reason: str = ended["reason"]
    assert f"Failed: {reason}" in app.log(ended["id"])
    return reason


QUICK: dict[str, object] = {"health_seconds": 6}
"""A check that soon gives up, and yet gives a busy machine the time to start an app."""


@pytest.fixture
def app(make: Make) -> Deployable:
    """One that is live as v1."""
    app = make()
    app.go_live()
    return app


def test_a_failing_build_leaves_the_old_release_serving(app: Deployable) -> None:
    app.repository.commit({"requirements.txt": "./there-is-no-such-package\n"})
    assert "ended with exit status 1" in fails(app)


def test_a_failed_deployment_names_what_served_then_whatever_serves_now(app: Deployable) -> None:
    app.repository.commit({"requirements.txt": "./there-is-no-such-package\n"})
    ended = app.box.slipway("deploy", app.name, "--wait")
    number, page = app.newest(), f"http://localhost/apps/{app.name}/production/deployments/{app.newest()}"
    assert (ended.returncode, f"Deployment {number} failed, and v1 goes on serving: " in ended.stderr) == (1, True)
    assert "v1 goes on serving, untouched." in app.api.ask("GET", page).text
    app.repository.commit(remove=("requirements.txt",))
    assert app.go_live()["release"] == "v2"
    assert app.api("GET", f"/apps/{app.name}/deployments/{number}")["serving"] == "v1"
    assert "v1 went on serving, untouched." in app.api.ask("GET", page).text


def test_a_first_deployment_that_fails_says_that_nothing_was_live(make: Make) -> None:
    app = make()
    app.repository.commit({"requirements.txt": "./there-is-no-such-package\n"})
    ended = app.box.slipway("deploy", app.name, "--wait")
    assert (ended.returncode, f"Deployment {app.newest()} failed: " in ended.stderr) == (1, True)
    page = app.api.ask("GET", f"http://localhost/apps/{app.name}/production/deployments/{app.newest()}")
    assert "Nothing was live in this environment." in page.text


def test_a_health_check_that_never_passes_ends_the_deployment_with_its_answer(app: Deployable) -> None:
    app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": QUICK | {"health_path": "/fail"}})
    ended = app.wait(app.newest())
    assert ended["state"] == "failed"
    assert "did not become healthy within 6 s: a request for /fail was answered with status 500" in ended["reason"]
    assert app.answering() == app.live() == "v1"


REFUSES = """import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        print("DisallowedHost:", self.headers["Host"], flush=True)
        self.send_error(STATUS)
http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


@pytest.mark.parametrize(
    ("status", "says"), [(400, "status 400: is {host} among the hosts that the app allows?"), (500, "status 500")]
)
def test_an_app_that_refuses_everybody_does_not_go_live_and_its_words_are_shown(
    app: Deployable, status: int, says: str
) -> None:
    app.change_settings(**QUICK)
    app.repository.commit({"server.py": REFUSES.replace("STATUS", str(status))})
    ended = app.deploy()
    assert ended["state"] == "failed"
    log = app.log(ended["id"])
    assert says.format(host=app.box.hostname(app.name)) in ended["reason"], ended["reason"]
    assert f"DisallowedHost: {app.box.hostname(app.name)}" in log
    assert "Not yet: a request for /" in log, "who waits is told for what"
    assert app.answering() == "v2"


def test_an_app_on_the_wrong_port_is_told_which_port_it_listens_on(app: Deployable) -> None:
    app.change_settings(**QUICK)
    app.repository.commit({"Procfile": f"web: python3 server.py 127.0.0.1 {quiet_port()}\n"})
    ended = app.deploy()
    assert ended["state"] == "failed"
    assert "nothing listens on port" in ended["reason"]
    assert "It listens on port" in ended["reason"]
    assert app.answering() == "v2"


def test_an_app_on_another_address_is_told_so(app: Deployable) -> None:
    app.change_settings(**QUICK)
    app.repository.commit({"Procfile": "web: python3 server.py 127.0.0.9\n"})
    ended = app.deploy()
    assert ended["state"] == "failed"
    assert "127.0.0.9" in ended["reason"]
    assert app.answering() == "v2"


def test_a_port_that_a_stranger_took_is_left_to_it_and_another_slot_is_used(app: Deployable) -> None:
    with stranger(app.box, app, slot=2):
        app.go_live()
        assert app.answering() == "v2"
        assert _slot_of_live(app) == 3


def test_strangers_on_every_free_port_end_the_deployment_before_anything_starts(app: Deployable) -> None:
    with stranger(app.box, app, slot=2), stranger(app.box, app, slot=3):
        assert "Another program on this server listens on port" in fails(app)


def test_a_start_that_crashes_says_how_it_ended_and_shows_its_last_lines(app: Deployable) -> None:
    app.repository.commit({"Procfile": "web: echo these are my last words; exit 7\n"})
    reason = fails(app)
    assert "ended by itself with exit code 7" in reason
    assert "these are my last words" in app.log(app.newest())


def test_a_start_that_is_killed_says_by_which_signal(app: Deployable) -> None:
    app.repository.commit({"Procfile": "web: kill -KILL $$\n"})
    assert "signal SIGKILL" in fails(app) or "signal KILL" in fails(app)


def test_a_command_that_is_not_there_fails_in_plain_words(app: Deployable) -> None:
    app.repository.commit({"Procfile": "web: no-such-program --port 80\n"})
    assert "exit code 127" in fails(app)
    assert "no-such-program" in app.log(app.newest())


def test_a_sigterm_that_is_ignored_is_followed_by_sigkill(app: Deployable) -> None:
    app.change_settings(stop_seconds=1, standby_seconds=0)
    app.repository.commit({"Procfile": "web: trap '' TERM; python3 server.py & while :; do sleep 1; done\n"})
    app.go_live()
    app.repository.commit({"Procfile": WEB + "\n"})
    assert app.go_live()["release"] == "v4"
    # That nothing of it is left is what is looked at after every test.


def test_a_process_that_daemonizes_ends_with_its_unit(app: Deployable) -> None:
    script = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        time.sleep(3600)\n"
    app.repository.commit({"daemonize.py": script, "Procfile": "web: python3 daemonize.py; exec python3 server.py\n"})
    app.change_settings(standby_seconds=0)
    app.go_live()
    app.repository.commit({"Procfile": WEB + "\n"})
    app.go_live()


def test_a_release_command_that_fails_is_the_end_and_its_words_are_in_the_log(app: Deployable) -> None:
    app.repository.commit({"Procfile": f"{WEB}\nrelease: echo half of it is done; exit 3\n"})
    assert "exit status 3" in fails(app)
    assert "half of it is done" in app.log(app.newest())


# ---- repositories


def test_a_repository_that_is_gone_is_named_as_the_reason(app: Deployable) -> None:
    app.repository.folder.rename(app.repository.folder.with_name("elsewhere"))
    reason = fails(app)
    assert app.box.repository(app.repository.folder) in reason
    assert f"slipway apps change {app.name} --repo" in reason


def test_an_empty_repository_is_told_so(make: Make, box: Box, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    app = make(url=box.repository(empty))
    empty.mkdir()
    app.repository.git("init", "--quiet", "--bare", str(empty))
    ended = app.deploy()
    assert ended["state"] == "failed"
    assert "empty" in ended["reason"] or "no branch" in ended["reason"]


def test_a_branch_that_was_deleted_is_named(app: Deployable) -> None:
    app.repository.git("checkout", "--quiet", "-b", "other")
    app.repository.git("branch", "--delete", "--force", "main")
    reason = fails(app)
    assert "There is no branch main. There is: other." in reason
    assert f"slipway apps change {app.name} --branch" in reason


def test_a_branch_that_was_force_pushed_is_deployed_as_it_is_now(app: Deployable) -> None:
    app.repository.git("commit", "--amend", "--allow-empty", "--quiet", "--message", "Another history")
    commit = app.repository.git("rev-parse", "HEAD")
    assert app.go_live()["commit"] == commit


def test_a_repository_over_the_limit_is_told_its_size_and_leaves_the_disk_as_it_was(app: Deployable) -> None:
    folder = app.repository.folder
    before = mirrored(app)
    with limits(app.box, repository_disk=1):
        (folder / "huge").write_bytes(os.urandom(3 * 2**20))
        app.repository.commit()
        assert "takes more than 1 MiB, which is this server's limit" in fails(app)
        assert mirrored(app) < before + 2**18
    assert app.go_live()["release"] == "v2", "the same commit, under the limit that there is otherwise"


def test_a_commit_that_would_unpack_to_more_than_the_limit_is_refused_before_it_is_on_the_disk(app: Deployable) -> None:
    with limits(app.box, checkout_disk=64):
        with (app.repository.folder / "zeros").open("wb") as file:
            file.truncate(100 * 2**20)
        app.repository.commit()
        assert "would take more than 64 MiB of the disk, which is this server's limit" in fails(app)


def test_evil_file_names_are_only_names(app: Deployable) -> None:
    folder = app.repository.folder
    for name in (
        "-rf", "--upload-pack=touch canary", "$(touch canary)", "`touch canary`", "a\nb", "'\"", "; touch canary",
        "{{ 7 * 7 }}", "%n%i", "...",
    ):  # fmt: skip
        (folder / name).write_text("x")
    (folder / os.fsdecode(b"\xff\xfe")).write_text("x")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "up").symlink_to("../../../../../../etc")
    app.repository.commit()
    assert app.go_live()["release"] == "v2"
    assert not list(app.box.state.glob("srv/slipway/builds/*/**/canary"))


@contextmanager
def limits(box: Box, **changed: int) -> Iterator[None]:
    """Other limits than the box has, for a while. They are the host agent's."""
    file = box.state / "etc/slipway/slipway.toml"
    before = file.read_text()
    after = before
    for name, value in changed.items():
        after, found = re.subn(rf"^{name} = \d+$", f"{name} = {value}", after, flags=re.MULTILINE)
        assert found == 1
    try:
        file.write_text(after)
        box.restart("host")
        yield
    finally:
        file.write_text(before)
        box.restart("host")


def mirrored(app: Deployable) -> int:
    """Bytes of the app's copy of its repository."""
    number = query(app.box, f"SELECT id FROM apps WHERE name = '{app.name}'")
    mirror = app.box.state / "var/lib/slipway/mirrors" / number
    return sum(file.stat().st_size for file in mirror.rglob("*") if file.is_file())


@contextmanager
def stranger(box: Box, app: Deployable, slot: int) -> Iterator[None]:
    """Another program that listens on the first port of a slot of the app."""
    settings = tomllib.loads((box.state / "etc/slipway/slipway.toml").read_text())
    place = int(query(box, f"SELECT place FROM environments WHERE id = {app.environment_id}"))
    port = settings["apps"]["first_port"] + (place - 1) * 24 + (slot - 1) * 8
    with box.listen(port):
        yield


def _slot_of_live(app: Deployable) -> int:
    live = f"SELECT number FROM slots WHERE environment_id = {app.environment_id} AND role = 'live'"
    return int(query(app.box, live))


WAITS = "Waiting for the host agent, which does not answer"


@contextmanager
def without_the_agent(box: Box) -> Iterator[None]:
    socket = box.unit("host").replace(".service", ".socket")
    try:
        assert box.systemctl("stop", socket, box.unit("host")).returncode == 0
        yield
    finally:
        assert box.systemctl("start", socket).returncode == 0


def test_who_waits_for_a_deployment_is_told_once_that_it_waits_for_the_host_agent(app: Deployable) -> None:
    with without_the_agent(app.box):
        command = app.box.command("deploy", app.name, "--wait")
        waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        until(lambda: WAITS in app.log(app.newest()), "its log says what it waits for")
        tries = re.compile(rf'"deployment": {app.newest()}, .*"event": "deployment\.waiting"')
        until(lambda: len(tries.findall(app.box.journal(400))) > 1, "it was tried again")
    said, _ = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0, said
    assert said.count(WAITS) == 1
    assert app.answering() == "v2"
