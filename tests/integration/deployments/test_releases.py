"""Releases in their order: history, rollback, kinds of apps that change, variables, workers that never overlap."""

import itertools
import json
from pathlib import Path

from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import WEB, Deployable, query, until
from tests.integration.deployments.leftovers import nothing_is_left_behind

from slipway.apps.models import MAX_VALUE_BYTES, MAX_VARIABLES_BYTES
from slipway.plan import size_of_variables

PAGE = "<!doctype html><title>page</title><h1>{}</h1>"
WORKER = """
import fcntl, json, os, signal, sys, time

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
spans = open("spans", "a")
alone = open("alone", "w")
try:
    fcntl.flock(alone, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    spans.write(json.dumps({"overlap": os.environ["SLIPWAY_RELEASE"]}) + "\\n")
    sys.exit(1)
began = time.time()
spans.write(json.dumps({"began": began, "release": os.environ["SLIPWAY_RELEASE"]}) + "\\n")
spans.flush()
signal.sigwait({signal.SIGTERM})
time.sleep(0.3)  # takes its time to end
spans.write(json.dumps({"began": began, "ended": time.time(), "release": os.environ["SLIPWAY_RELEASE"]}) + "\\n")
"""


def build_folders(box: Box) -> set[int]:
    return {int(folder.name) for folder in (box.state / "srv/slipway/builds").iterdir()}


def test_the_log_of_a_deployment_tells_one_thing_after_the_other(make: Make) -> None:
    app = make()
    log = app.log(app.go_live()["id"])
    told = ["Fetching the repository", "Commit ", "Detected: ", "Release v1"]
    assert [log.count(one) for one in told] == [1, 1, 1, 1], log
    assert sorted(told, key=log.index) == told, log


def test_after_the_seventh_release_six_are_kept_and_each_can_be_rolled_back_to(make: Make) -> None:
    app = make()
    for number in range(1, 8):
        app.repository.commit({"number": str(number)})
        assert app.go_live()["release"] == f"v{number}"
    six = ["v7", "v6", "v5", "v4", "v3", "v2"]
    until(lambda: [one["name"] for one in app.releases()] == six, "v1 is given up")
    nothing_is_left_behind(app.box)
    ready = f"SELECT count(*) FROM builds WHERE environment_id = {app.environment_id} AND state = 'ready'"
    assert query(app.box, ready) == "6"
    given_up = f"SELECT variables = '' FROM releases WHERE environment_id = {app.environment_id} AND number = 1"
    assert query(app.box, given_up) == "t"
    for number in (2, 3, 4, 5, 6):
        assert app.rollback(number)["state"] == "live"
        assert app.answering() == f"v{number}"
    gone = app.api.ask("POST", f"/apps/{app.name}/environments/production/rollback", {"to": 1})
    assert gone.status_code == 404
    assert "v1" in gone.json()["detail"]


def test_an_app_without_web_has_workers_and_neither_site_nor_route(make: Make) -> None:
    app = make("worker: sleep 1000")
    app.go_live()
    assert not (app.box.state / f"etc/slipway/nginx/sites/{app.environment_id}.conf").exists()
    [process] = app.api("GET", f"/apps/{app.name}/environments/production/processes")
    assert process["name"] == "worker"
    assert [one["active"] for one in process["instances"]] == ["active"]


def test_web_may_go_and_come_back(make: Make) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"Procfile": "worker: sleep 1000\n"})
    app.go_live()
    assert not (app.box.state / f"etc/slipway/nginx/sites/{app.environment_id}.conf").exists()
    app.repository.commit({"Procfile": WEB + "\n"})
    app.go_live()
    assert app.answering() == "v3"
    app.rollback(2)
    assert app.live() == "v2"
    app.rollback(3)
    assert app.answering() == "v3"


def test_a_static_site_is_deployed_switched_and_rolled_back(make: Make) -> None:
    app = make()
    app.repository.commit({"index.html": PAGE.format("one")}, remove=("Procfile", "server.py"))
    app.go_live()
    assert "<h1>one</h1>" in app.ask().text
    app.repository.commit({"index.html": PAGE.format("two"), "new.css": "a{}"})
    app.go_live()
    assert "<h1>two</h1>" in app.ask().text
    app.rollback()
    assert "<h1>one</h1>" in app.ask().text
    assert app.ask("/new.css").status_code == 200, "a page that was loaded before still finds its assets"


def test_a_static_site_is_said_to_have_no_processes(make: Make) -> None:
    app = make()
    app.repository.commit({"index.html": PAGE.format("one")}, remove=("Procfile", "server.py"))
    app.go_live()
    for command in (("scale", app.name, "web=2"), ("logs", app.name), ("logs", app.name, "-f")):
        said = app.box.slipway(*command)
        assert f"{app.name} is a static site: it has no processes" in said.stderr, (command, said)


def test_the_next_deployment_comes_from_where_the_app_was_moved_to(make: Make) -> None:
    app = make()
    app.repository.git("branch", "--move", "main", "trunk")
    assert app.deploy()["state"] == "failed"
    assert app.box.slipway("apps", "change", app.name, "--branch", "trunk").returncode == 0
    app.go_live()
    moved = app.repository.folder.with_name(f"{app.name}-moved")
    app.repository.folder.rename(moved)
    app.box.json("apps", "change", app.name, "--repo", app.box.repository(moved))
    app.go_live()


def test_an_app_becomes_a_static_site_and_an_app_again(make: Make) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"index.html": PAGE.format("static")}, remove=("Procfile", "server.py"))
    app.go_live()
    assert "<h1>static</h1>" in app.ask().text
    app.rollback(1)
    assert app.answering() == "v1"
    app.rollback(2)
    assert "<h1>static</h1>" in app.ask().text


def test_changed_variables_make_a_release_of_the_same_build_without_building(make: Make) -> None:
    app = make()
    app.go_live()
    before = build_folders(app.box)
    changed = app.change_variables(WORD="first")
    assert changed is not None
    assert changed["state"] == "live"
    assert "building" not in app.phases(changed["id"])
    assert build_folders(app.box) == before
    assert app.ask().json()["word"] == "first"


def test_as_many_variables_as_are_accepted_go_live(make: Make) -> None:
    app = make()
    variables = {
        f"LARGE{number}": "x" * (MAX_VALUE_BYTES - 32) for number in range(MAX_VARIABLES_BYTES // MAX_VALUE_BYTES)
    }
    variables["REST"] = "x" * (MAX_VARIABLES_BYTES - size_of_variables(variables) - len("REST"))
    path = f"/apps/{app.name}/environments/production/variables"
    refused = app.api.ask("PATCH", path, {"set": variables | {"A": ""}})
    assert refused.status_code == 422
    assert f"{MAX_VARIABLES_BYTES + 1:,} bytes" in refused.json()["detail"]
    app.api("PATCH", path, {"set": variables})
    app.go_live()
    assert app.answering() == "v1"


def test_a_release_keeps_the_variables_it_was_made_with(make: Make) -> None:
    app = make()
    app.go_live()
    app.change_variables(WORD="first")
    app.change_variables(WORD="second")
    assert app.ask().json()["word"] == "second"
    app.rollback(2)
    assert app.ask().json()["word"] == "first"
    app.rollback(1)
    assert app.ask().json()["word"] == ""


def test_a_worker_never_runs_twice_through_deployments_and_rollbacks(make: Make) -> None:
    app = make(f'{WEB}\nworker: cd "$HOME" && exec python3 "$OLDPWD/worker.py"')
    app.repository.commit({"worker.py": WORKER})
    app.go_live()
    works(app, "v1")
    for number in (2, 3):
        app.repository.commit({"number": str(number)})
        app.go_live()
        works(app, f"v{number}")
    for number in (1, 3):  # its slot is given up or warm, either way
        app.rollback(number)
        works(app, f"v{number}")
    lines = spans(app)
    assert not [one for one in lines if "overlap" in one]
    ended = sorted((one["began"], one["ended"]) for one in lines if "ended" in one)
    assert len(ended) == 4
    for (_, end), (begin, _) in itertools.pairwise(ended):
        assert end <= begin
    assert [one["release"] for one in lines if "ended" not in one] == ["v1", "v2", "v3", "v1", "v3"]


def works(app: Deployable, release: str) -> None:
    """Wait until the worker of a release has begun: one that is ended before leaves no trace."""
    until(lambda: (spans(app) or [{}])[-1].get("release") == release, f"the worker of {release} has begun")


def spans(app: Deployable) -> list[dict[str, float | str]]:
    found = list(Path(app.data).rglob("spans"))
    return [json.loads(line) for file in found for line in file.read_text().splitlines()]


def test_of_three_deployments_asked_for_at_once_one_runs_one_is_superseded_and_the_newest_gets_live(make: Make) -> None:
    app = make(f"{WEB}\nrelease: sleep 3")
    numbers = [app.request()]
    app.wait_for_state(numbers[0], ("releasing",))
    numbers += [app.request() for _ in range(2)]
    ended = [app.wait(number) for number in numbers]
    assert [one["state"] for one in ended] == ["live", "superseded", "live"]
    assert str(numbers[2]) in ended[1]["reason"]
    assert app.answering() == "v2"


def test_a_rollback_goes_before_a_deployment_on_its_way_and_ends_it(make: Make) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"a": ""})
    app.go_live()
    app.repository.commit({"Procfile": f"{WEB}\nrelease: sleep 1000\n"})
    under_way = app.request()
    app.wait_for_state(under_way, ("releasing",))
    assert app.rollback()["state"] == "live", "it does not wait for what takes so long"
    assert app.get(under_way)["state"] == "cancelled"
    assert app.answering() == "v1"


def test_a_rollback_to_a_warm_standby_starts_nothing(make: Make) -> None:
    app = make()
    app.go_live()
    pid = app.ask().json()["pid"]
    app.repository.commit({"a": ""})
    app.go_live()
    app.rollback()
    assert app.ask().json()["pid"] == pid


def test_the_release_before_one_that_was_taken_back_is_the_one_to_go_back_to(make: Make) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"Procfile": f"{WEB}\nworker: exit 1\n"})
    bad = app.deploy()
    until(lambda: app.answering() == "v1", "the crash loop is rolled back")
    app.wait(app.newest())
    assert "Worker ended 3 times" in app.get(bad["id"])["reason"]
    app.repository.commit({"Procfile": f"{WEB}\n"})
    assert app.go_live()["release"] == "v3"
    assert app.rollback()["release"] == "v1"
