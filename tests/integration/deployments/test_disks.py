"""What apps take of the disk: measured, kept within budgets, and pruned where nobody needs it, never data."""

import subprocess
from pathlib import Path

from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import Deployable, query, until

MIB = 2**20
LARGE = "head -c 30M /dev/zero > large; mkdir -p ~/.cache; head -c 20M /dev/zero > ~/.cache/thing"


def usage_of(app: Deployable) -> dict[str, int]:
    found: dict[str, int] = app.api("GET", f"/apps/{app.name}/disk")
    return found


def set_budget(app: Deployable, budget: int | None) -> None:
    app.api("PUT", f"/apps/{app.name}/disk", {"budget": budget})


def cache_of(app: Deployable) -> Path:
    return app.box.state / "var/cache/slipway/builds" / str(app.environment_id)


def taken(folder: Path) -> int:
    summed = subprocess.run(["du", "-s", "-B1", str(folder)], capture_output=True, text=True, check=True)
    return int(summed.stdout.split()[0])


def a_large_app(make: Make) -> Deployable:
    app = make()
    app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": {"build_command": LARGE}})
    app.go_live()
    until(lambda: usage_of(app)["builds"] > 30 * MIB, "its build is measured")
    return app


def test_after_a_build_it_is_known_what_takes_how_much_folders_that_were_closed_too(make: Make, box: Box) -> None:
    app = a_large_app(make)
    data = f"/srv/slipway/data/{app.environment_id}"
    closed = f"{data}/closed"
    script = f"mkdir {closed}; head -c 10M /dev/zero > {closed}/file; chmod 000 {closed}; ln -s / {data}/everything"
    owner = app.data.stat()
    as_owner = ("setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups", "sh", "-ec")
    assert box.enter(*as_owner, script).returncode == 0
    app.go_live()
    until(lambda: usage_of(app)["data"] >= 10 * MIB, "the data is measured")
    usage = usage_of(app)
    assert usage["data"] == taken(app.data), "links are not followed"
    assert usage["caches"] == taken(cache_of(app)) >= 20 * MIB
    builds = query(box, f"SELECT id FROM builds WHERE environment_id = {app.environment_id}").split()
    assert usage["builds"] == sum(taken(box.state / "srv/slipway/builds" / one) for one in builds)
    assert usage["total"] == sum(usage[part] for part in ("builds", "caches", "data", "repository"))
    shown = box.json("disk")
    assert app.name in [one["app"] for one in shown["apps"]]
    assert shown["file_systems"][0]["holds"][0] == "builds"
    assert box.json("disk", app.name) == usage


def test_a_build_beyond_its_apps_budget_does_not_begin_and_says_what_takes_the_room(make: Make, box: Box) -> None:
    app = a_large_app(make)
    (app.data / "kept").write_bytes(b"x" * 1000)
    assert box.slipway("disk", app.name, "--budget", "40").returncode == 0
    ended = app.deploy()
    assert ended["state"] == "failed"
    assert f"{app.name} may take 40 MiB of the disk" in ended["reason"], ended["reason"]
    assert "Nothing was started; what is live goes on." in ended["reason"]
    assert app.phases(ended["id"]) == ["fetching"]
    assert "Checking out" not in app.log(ended["id"])
    assert app.answering() == "v1"
    assert taken(cache_of(app)) < MIB, "what could be pruned was"
    assert (app.data / "kept").exists(), "data never is"
    assert box.slipway("disk", app.name, "--budget", "").returncode == 0
    assert app.go_live()["release"] == "v2"


def test_an_app_that_made_room_itself_is_let_through_at_once(make: Make) -> None:
    app = make()
    app.go_live()
    (app.data / "large").write_bytes(bytes(60 * MIB))
    app.go_live()
    until(lambda: usage_of(app)["data"] >= 60 * MIB, "its data is measured")
    app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": {"build_command": "true"}})
    app.wait(app.newest())
    set_budget(app, 40)
    assert "may take 40 MiB" in app.deploy()["reason"]
    (app.data / "large").unlink()
    app.go_live()
    set_budget(app, None)


def test_a_build_has_its_own_app_measured_and_not_all_that_are_due(make: Make, box: Box) -> None:
    built, due = a_large_app(make), a_large_app(make)
    box.systemctl("restart", box.unit("daemon"))  # what is due is measured from some minutes after a start on
    measured_at = "SELECT measured_at FROM disk_usage WHERE environment_id ="
    long_ago = "UPDATE disk_usage SET measured_at = now() - interval '3 days' WHERE environment_id ="
    for app in (built, due):
        query(box, f"{long_ago} {app.environment_id}")
    before = query(box, f"{measured_at} {due.environment_id}")
    built.go_live()
    today = f"{measured_at} {built.environment_id} AND measured_at > now() - interval '1 day'"
    until(lambda: query(box, today), "what was built is measured")
    first = query(box, today)
    built.go_live()  # the round before this one's has ended when it is measured
    until(lambda: query(box, today) != first, "it is measured again")
    assert query(box, f"{measured_at} {due.environment_id}") == before


def test_caches_and_copies_of_repositories_that_nobody_used_for_long_go_and_data_stays(make: Make, box: Box) -> None:
    app, used = a_large_app(make), a_large_app(make)
    (app.data / "kept").write_bytes(b"x" * 1000)
    mirror = box.state / "var/lib/slipway/mirrors" / query(box, f"SELECT id FROM apps WHERE name = '{app.name}'")
    assert mirror.exists()
    long_ago = "UPDATE deployments SET created_at = now() - interval '100 days' WHERE environment_id ="
    query(box, f"{long_ago} {app.environment_id}")
    used.go_live()  # what is due is looked at after each build
    until(lambda: not mirror.exists(), "the copy of the repository is gone")
    assert taken(cache_of(app)) < MIB
    assert taken(cache_of(used)) > 20 * MIB
    assert (app.data / "kept").exists()
    assert app.answering() == "v1"
    app.go_live()
    assert mirror.exists(), "it is fetched anew"
