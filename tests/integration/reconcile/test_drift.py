"""What a person did to a machine by hand: repaired where it is Slipway's, else told, with the difference; the app
serves throughout."""

import concurrent.futures
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Box, running_box
from tests.integration.deployments.conftest import makes
from tests.integration.deployments.helpers import Deployable, query, until
from tests.integration.deployments.leftovers import nothing_is_left_behind
from tests.integration.local.test_box import own_id

from slipway.host.agent.names import Names

PROCFILE = "web: python3 server.py\nworker: sleep 1000"


@pytest.fixture(scope="module")
def own() -> Iterator[Box]:
    """A box for the tests of this module, which do to it whatever people do."""
    with running_box() as one:
        yield one


@pytest.fixture(scope="module")
def app(own: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployable]:
    for make in makes(own, tmp_path_factory.mktemp("apps")):
        app = make(PROCFILE)
        app.go_live()
        yield app


@pytest.fixture(autouse=True)
def well_before_and_after(app: Deployable) -> Iterator[None]:
    assert doctor(app) == []
    yield
    assert doctor(app) == []
    assert app.answering() == app.live()
    nothing_is_left_behind(app.box)


class Hand:
    """What a person does as root, in the box's world."""

    def __init__(self, app: Deployable) -> None:
        self.box, self.number = app.box, app.environment_id
        self.web, self.worker = self._unit(app, "web"), self._unit(app, "worker")
        self.site = f"/etc/slipway/nginx/sites/{self.number}.conf"

    def _unit(self, app: Deployable, process: str) -> str:
        """The live release's: an older one's may go at any moment, and what was changed of it with it."""
        names = Names(own_id(self.box))
        files = self.box.unit_files.glob(f"*-e{self.number}-{app.live()}-*-{process}.0.service")
        instances = [one for file in files if (one := names.find_instance(file.name))]
        return names.instance(max(instances, key=lambda one: one.generation))

    def does(self, script: str) -> str:
        done = self.box.enter("sh", "-euc", script)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def edits(self, file: str, old: str, new: str) -> None:
        self.does(f"grep -q '{old}' {file}; sed -i 's/{old}/{new}/' {file}")


@pytest.fixture
def hand(app: Deployable) -> Hand:
    return Hand(app)


def look(app: Deployable) -> dict[str, Any]:
    found: dict[str, Any] = app.api("GET", "/system/drift")
    return found


def doctor(app: Deployable) -> list[dict[str, Any]]:
    """What a look finds that Slipway does not put right by itself."""
    findings: list[dict[str, Any]] = look(app)["findings"]
    return findings


def repaired(app: Deployable, where: str) -> dict[str, Any]:
    """What a look put right just now at this place; nothing may be left to tell."""
    report = look(app)
    assert report["findings"] == []
    lately = [one for one in report["repairs"] if one["at"] >= report["began"]]
    assert [one["where"] for one in lately if where in one["where"]], lately
    return next(one for one in lately if where in one["where"])


def told(app: Deployable, where: str, kind: str) -> dict[str, Any]:
    """The one finding at this place."""
    found = [one for one in doctor(app) if one["where"] == where and one["kind"] == kind]
    assert len(found) == 1, look(app)
    return found[0]


def repair(app: Deployable, what: str) -> str:
    """→ what was said."""
    ended = app.box.slipway("doctor", "--repair", what)
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def page(app: Deployable, path: str) -> str:
    """As the operator sees it, who may see all."""
    answer = app.api.ask("GET", f"http://localhost{path}")
    assert answer.status_code == 200, answer.text
    return answer.text


# ---- what is Slipway's -------------------------------------------------------------------------------------------


def test_a_unit_file_that_was_deleted_is_written_again_while_its_process_runs_on(app: Deployable, hand: Hand) -> None:
    before = hand.does(f"systemctl --user show --property=MainPID --value {hand.web}")
    hand.does(f"rm /etc/systemd/user/{hand.web}; rm /etc/systemd/user/*.wants/{hand.worker}")
    repaired(app, hand.web)
    assert hand.does(f"systemctl --user show --property=MainPID --value {hand.web}") == before
    hand.does(f"test -f /etc/systemd/user/{hand.web} && test -L /etc/systemd/user/*.wants/{hand.worker}")


@pytest.mark.parametrize("which", ["web", "worker"])
def test_a_unit_that_was_stopped_by_hand_runs_again_without_anybody_asking(
    app: Deployable, hand: Hand, which: str
) -> None:
    unit = getattr(hand, which)
    hand.does(f"systemctl --user stop {unit}")
    until(lambda: hand.box.systemctl("is-active", unit).returncode == 0, f"{which} runs again")


def test_users_that_were_removed_are_made_again_with_their_numbers(app: Deployable, hand: Hand) -> None:
    name = f"sl-{own_id(app.box)}-b{hand.number}"
    before = hand.does(f"id {name}")
    hand.does(f"userdel {name}")
    repaired(app, name)
    assert hand.does(f"id {name}") == before


def test_a_folder_of_roots_that_was_opened_is_closed_and_that_is_told(app: Deployable, hand: Hand) -> None:
    hand.does("chmod 0777 /srv/slipway/builds; chown slipway /srv/slipway/live; chmod 0644 /etc/slipway/key")
    assert "mode 0777 instead of 0711" in repaired(app, "/srv/slipway/builds")["detail"]
    assert hand.does("stat -c '%a %U' /srv/slipway/builds /srv/slipway/live /etc/slipway/key").split("\n")[:3] == [
        "711 root", "755 root", "600 root",
    ]  # fmt: skip


def test_a_launcher_file_that_is_gone_is_written_from_the_sealed_variables(app: Deployable, hand: Hand) -> None:
    file = hand.does(f"ls /srv/slipway/launch/{hand.number}/*.json").split()[-1]
    before = hand.does(f"cat {file}")
    hand.does(f"rm {file}")
    repaired(app, file)
    assert json.loads(hand.does(f"cat {file}")) == json.loads(before)
    hand.does(f"systemctl --user restart {hand.worker}")


def test_a_route_marker_that_was_moved_is_moved_back(app: Deployable, hand: Hand) -> None:
    marker = hand.does("ls /srv/slipway/live | grep '[.]'").strip()
    place = marker.partition(".")[0]
    other = f"{place}.{3 if marker.endswith('2') else 2}"
    hand.does(f"mv /srv/slipway/live/{marker} /srv/slipway/live/{other}")
    repaired(app, f"/srv/slipway/live/{other}")
    hand.does(f"touch /srv/slipway/live/{other}")
    repaired(app, f"/srv/slipway/live/{other}")
    assert hand.does("ls /srv/slipway/live | grep '[.]'").strip() == marker


def test_a_site_that_was_deleted_is_there_again(app: Deployable, hand: Hand) -> None:
    hand.does(f"rm {hand.site}")
    repaired(app, hand.site)
    assert app.ask().status_code == 200


@pytest.mark.parametrize("environment", [None, 999_999], ids=["its own environment", "no environment"])
def test_a_unit_that_no_release_explains_is_stopped(app: Deployable, hand: Hand, environment: int | None) -> None:
    own = f"-e{environment or hand.number}-v99-g99-s0-"
    orphan = re.sub(r"-e\d+-v\d+-g\d+-s\d-", own, hand.worker)
    hand.does(f"sed s/{hand.worker}/{orphan}/ /etc/systemd/user/{hand.worker} > /etc/systemd/user/{orphan}")
    hand.does(f"systemctl --user start {orphan}")
    until(lambda: hand.box.systemctl("is-active", orphan).returncode != 0, "the orphan is stopped")
    assert look(app)["findings"] == []
    hand.does(f"test ! -e /etc/systemd/user/{orphan}")


def test_a_unit_that_another_release_of_slipway_wrote_is_brought_up_to_date(app: Deployable, hand: Hand) -> None:
    """Signed as Slipway's own, with other words: no person did that."""
    file = f"/etc/systemd/user/{hand.worker}"
    code = (
        "import sys; sys.path.insert(0, '/opt/slipway/current/backend/slipway/host'); import written; "
        f"text = written.SIGNATURE.sub('', open('{file}').read()).replace('TasksMax=256', 'TasksMax=99'); "
        f"open('{file}', 'w').write(written.sign(text))"
    )
    hand.does(f'python3 -c "{code}"')
    repaired(app, hand.worker)
    hand.does(f"grep -q TasksMax=256 {file}")


def test_an_older_database_that_was_put_back_does_not_stop_deployments(app: Deployable) -> None:
    query(app.box, f"UPDATE environments SET generation = 0 WHERE id = {app.environment_id}")
    repaired(app, f"environment {app.environment_id}")
    app.go_live()


# ---- what a person changed ---------------------------------------------------------------------------------------


def test_a_changed_site_is_told_with_the_difference_and_stays_until_asked(app: Deployable, hand: Hand) -> None:
    hand.edits(hand.site, "proxy_read_timeout 1h", "proxy_read_timeout 2h")
    found = told(app, hand.site, "changed")
    assert "-    proxy_read_timeout 1h;" in found["diff"]
    assert "+    proxy_read_timeout 2h;" in found["diff"]
    app.go_live()  # a deployment has nothing new to say about the site, and leaves it
    hand.does(f"grep -q 'proxy_read_timeout 2h' {hand.site}")
    ended = app.box.slipway("doctor")
    assert ended.returncode == 1
    assert "+    proxy_read_timeout 2h;" in ended.stdout
    assert f"slipway doctor --repair {found['id']}" in ended.stdout
    assert f"nginx's site was changed by hand\n     was put right: {hand.site}\n" in repair(app, found["id"])
    hand.does(f"grep -q 'proxy_read_timeout 1h' {hand.site}")
    hand.does("grep -q 'proxy_read_timeout 2h' /var/lib/slipway/agent/replaced/*-sites-*.conf")


def test_what_waits_for_a_person_is_said_by_status_and_the_pages_until_it_is_decided(
    app: Deployable, hand: Hand
) -> None:
    of_server, of_environment = "/system", f"/apps/{app.name}/production"
    hand.edits(hand.site, "proxy_read_timeout 1h", "proxy_read_timeout 3h")
    hand.does("echo '# mine' >> /etc/slipway/nginx/snippets/proxy.conf")
    found = told(app, hand.site, "changed")
    said = app.box.slipway("status")
    assert said.returncode == 0, "every part answers"
    assert "note 2 things on the server are not as they should be (last look: " in said.stdout
    shown = page(app, of_server)
    assert all(words in shown for words in (hand.site, f"slipway doctor --repair {found['id']}", "snippets/proxy.conf"))
    shown = page(app, of_environment)
    assert "One thing on the server is not as Slipway left it for this environment." in shown
    assert f'href="{of_environment}/settings#drift"' in shown
    assert found["id"] in page(app, f"{of_environment}/settings")
    assert app.box.slipway("doctor", "--repair", found["id"]).returncode == 1, "the other one waits still"
    assert "1 thing on the server is not as it should be" in app.box.slipway("status").stdout
    repair(app, told(app, "/etc/slipway/nginx/snippets/proxy.conf", "changed")["id"])
    assert "should be" not in app.box.slipway("status").stdout
    assert 'id="drift"' not in page(app, of_server) + page(app, of_environment)


def test_a_changed_unit_and_its_drop_ins_are_told_and_taken_back_by_the_apps_name(app: Deployable, hand: Hand) -> None:
    file = f"/etc/systemd/user/{hand.web}"
    hand.edits(file, "MemoryMax=512M", "MemoryMax=999M")
    hand.does(
        f"mkdir {file}.d; printf '[Service]\\nNice=3\\n' > {file}.d/override.conf; systemctl --user daemon-reload"
    )
    assert "+MemoryMax=999M" in told(app, file, "changed")["diff"]
    assert "+Nice=3" in told(app, f"{file}.d/override.conf", "override")["diff"]
    repair(app, app.name)
    assert hand.does(f"systemctl --user show --property=Nice --value {hand.web}").strip() == "0"
    hand.does(f"rmdir {file}.d")


def test_a_repair_waits_for_what_still_goes_on_there_and_is_refused_while_a_deployment_does(
    app: Deployable, hand: Hand
) -> None:
    file = f"/etc/systemd/user/{hand.web}"
    servers = f"grep -c 'server 127' {hand.site}"
    app.scale(web=2)
    before = hand.does(servers)
    hand.edits(file, "MemoryMax=512M", "MemoryMax=999M")
    found = told(app, file, "changed")["id"]
    with concurrent.futures.ThreadPoolExecutor(9) as people:
        for _ in range(8):
            people.submit(app.ask, "/slow?seconds=8", 20)
        people.submit(app.scale, web=1)
        until(lambda: hand.does(servers) != before, "nobody new is sent to what goes")
        assert f"was put right: {file}" in repair(app, found)
    hand.edits(file, "MemoryMax=512M", "MemoryMax=999M")
    assert told(app, file, "changed")["id"] == found
    unhealthy = {"settings": {"health_seconds": 120, "health_path": "/fail"}}
    app.api("PATCH", f"/apps/{app.name}/environments/production", unhealthy)
    deployment = app.newest()
    app.wait_for_state(deployment, ("checking",))
    refused = app.box.slipway("doctor", "--repair", found)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "A deployment is under way there." in refused.stderr
    app.cancel(deployment)
    app.wait(deployment)
    repair(app, found)  # before another release takes the place of the one whose unit it is
    app.change_settings(health_seconds=60, health_path=None)


def test_a_limit_that_was_set_on_the_running_unit_is_told_and_taken_back(app: Deployable, hand: Hand) -> None:
    hand.does(f"systemctl --user set-property --runtime {hand.web} MemoryMax=77M")
    (found,) = [one for one in doctor(app) if one["kind"] == "override"]
    assert hand.web in found["where"]
    assert "+MemoryMax=" in found["diff"]
    repair(app, found["id"])
    limit = hand.does(f"systemctl --user show --property=MemoryMax --value {hand.web}").strip()
    assert limit == str(512 * 2**20)


def test_slipways_own_users_are_made_again_with_their_numbers(app: Deployable, hand: Hand) -> None:
    before = hand.does("id slipway-check")
    hand.does("userdel slipway-check")
    repaired(app, "slipway-check")
    assert hand.does("id slipway-check") == before


def test_of_a_changed_launcher_file_nothing_is_shown_but_that_it_was_changed(app: Deployable, hand: Hand) -> None:
    file = hand.does(f"ls -v /srv/slipway/launch/{hand.number}/*.json").split()[-1]
    hand.edits(file, '"variables":{', '"variables":{"STOLEN":"by-hand",')
    found = told(app, file, "changed")
    assert found["diff"] is None
    assert "by-hand" not in json.dumps(look(app))
    repair(app, found["id"])
    assert "by-hand" not in hand.does(f"cat {file}")


def test_slipways_own_units_and_configuration_are_told_and_not_overwritten(app: Deployable, hand: Hand) -> None:
    nginx = f"slipway-{own_id(app.box)}-nginx.service"
    hand.does(f"mkdir /etc/systemd/user/{nginx}.d; printf '[Service]\\nNice=3\\n' > /etc/systemd/user/{nginx}.d/x.conf")
    hand.edits("/etc/slipway/nginx/nginx.conf", "keepalive_timeout 75s", "keepalive_timeout 70s")
    drop_in = told(app, f"/etc/systemd/user/{nginx}.d/x.conf", "override")
    own = told(app, "/etc/slipway/nginx/nginx.conf", "changed")
    assert "+    keepalive_timeout 70s;" in own["diff"]
    for finding in (drop_in, own):
        app.api("POST", "/system/drift/repair", {"id": finding["id"]})
    hand.does("grep -q 'keepalive_timeout 75s' /etc/slipway/nginx/nginx.conf")
    hand.does(f"rmdir /etc/systemd/user/{nginx}.d")


def test_an_environment_that_the_database_does_not_know_keeps_its_data_until_asked(app: Deployable, hand: Hand) -> None:
    state = Path("/var/lib/slipway/agent/environments/888888.json")
    content = '{"environment":888888,"place":75,"run_uid":58000,"build_uid":58001,"generation":4}'
    hand.does(f"echo '{content}' > {state}; mkdir -p /srv/slipway/data/888888; touch /srv/slipway/data/888888/precious")
    found = told(app, "environment 888888", "unknown")
    hand.does("test -e /srv/slipway/data/888888/precious")
    hand.does("rm -r /srv/slipway/data/888888")
    repair(app, found["id"])
    hand.does(f"test ! -e {state}")


# ---- sites that nginx cannot read --------------------------------------------------------------------------------


def breaks(hand: Hand) -> None:
    hand.edits(hand.site, "    server_name", "    server_nam")


def adds_a_file(hand: Hand) -> None:
    hand.does("echo 'this is no site {' > /etc/slipway/nginx/sites/mine.conf")


def adds_a_site(hand: Hand) -> None:
    hand.does("echo 'nor is this {' > /etc/slipway/nginx/sites/77777.conf")


@pytest.mark.parametrize("act", [breaks, adds_a_file, adds_a_site], ids=lambda act: act.__name__)
def test_a_broken_site_keeps_nginx_neither_from_starting_nor_from_new_sites(
    app: Deployable, hand: Hand, act: Callable[[Hand], None]
) -> None:
    act(hand)
    hand.does(f"systemctl --user restart slipway-{own_id(app.box)}-nginx.service")
    assert app.answering() == app.live()
    app.scale(web=2)  # another upstream in the site: nginx is reloaded
    app.scale(web=1)
    assert app.answering() == app.live()
    for found in doctor(app):
        app.box.slipway("doctor", "--repair", found["id"])


# ---- when --------------------------------------------------------------------------------------------------------


def test_what_happened_while_the_daemon_and_the_agent_were_away_is_put_right_at_their_start(
    app: Deployable, hand: Hand
) -> None:
    own = own_id(app.box)
    hand.does(f"systemctl --user stop slipway-{own}-daemon.service slipway-{own}-host.service")
    hand.does(f"systemctl --user stop {hand.worker}; rm {hand.site} /etc/systemd/user/{hand.web}")
    hand.does(f"systemctl --user start slipway-{own}-daemon.service")
    script = f"systemctl --user is-active -q {hand.worker} && test -e {hand.site} -a -e /etc/systemd/user/{hand.web}"
    until(lambda: app.box.enter("sh", "-c", script).returncode == 0, "all is there again")


def test_a_round_over_what_does_not_differ_changes_nothing(app: Deployable, hand: Hand) -> None:
    files = "find /etc/slipway /etc/systemd/user /srv/slipway/l* -type f -printf '%p %T@\\n' | sort"
    first = look(app)
    assert first["findings"] == []
    before = hand.does(files)
    second = look(app)
    assert (second["findings"], second["repairs"]) == ([], first["repairs"])
    assert hand.does(files) == before


def test_each_repair_is_an_event(app: Deployable, hand: Hand) -> None:
    hand.does(f"rm {hand.site}")
    repaired(app, hand.site)
    newest = app.api("GET", "/events?limit=5")["items"]
    event = next(one for one in newest if one["kind"] == "drift.repaired")
    assert event["data"]["where"] == hand.site
    assert (event["actor"], event["environment_id"]) == ("slipway", hand.number)
