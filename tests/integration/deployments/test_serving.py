"""What visitors see while releases come and go: no lost request, streams that live on, bad releases taken back."""

import concurrent.futures
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import WEB, Deployable, query, until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

DRAIN = timedelta(seconds=4)


@dataclass
class Load:
    sent: int = 0
    failed: list[str] = field(default_factory=list)
    releases: set[str] = field(default_factory=set)


@contextmanager
def load(app: Deployable, clients: int = 4, *, kept: bool = True) -> Iterator[Load]:
    """Visitors, on kept connections or new ones, that ask and post without a pause worth mentioning."""
    seen, over = Load(), threading.Event()

    def visit() -> None:
        with app.box.visitor(app.name, kept=kept, seconds=20) as client:
            while not over.is_set():
                try:
                    asked, posted = client.get("/"), client.post("/", content=b"as it was sent")
                except httpx.HTTPError as error:
                    seen.failed.append(repr(error))
                    continue
                if asked.status_code != 200:
                    seen.failed.append(f"GET {asked.status_code}")
                elif posted.content != b"as it was sent":
                    seen.failed.append(f"POST {posted.status_code}")
                else:
                    seen.releases.add(asked.json()["release"])
                seen.sent += 2
                time.sleep(0.01)

    with concurrent.futures.ThreadPoolExecutor(clients) as visitors:
        visits = [visitors.submit(visit) for _ in range(clients)]
        try:
            yield seen
        finally:
            over.set()
        for one in visits:
            one.result()


@contextmanager
def daemon_down(box: Box) -> Iterator[None]:
    """Stop the daemon for as long as the context lasts."""
    box.systemctl("stop", box.unit("daemon"))
    try:
        yield
    finally:
        box.systemctl("start", box.unit("daemon"))


def running(app: Deployable) -> dict[str, int]:
    """How many instances of each process run."""
    found = app.api("GET", f"/apps/{app.name}/environments/production/processes")
    return {one["name"]: len(one["instances"]) for one in found}


def slots(app: Deployable) -> list[str]:
    """The roles of the slots that are held."""
    found = query(app.box, f"SELECT role FROM slots WHERE environment_id = {app.environment_id} ORDER BY role")
    return found.split()


@pytest.fixture
def app(make: Make) -> Deployable:
    app = make()
    app.go_live()
    return app


def test_thirty_switches_under_load_lose_no_request(app: Deployable) -> None:
    app.repository.commit({"second": ""})
    app.go_live()
    with load(app) as seen:
        for step in range(30):
            assert app.rollback(1 if step % 2 == 0 else 2)["state"] == "live"
    assert not seen.failed, seen.failed[:5]
    assert seen.releases == {"v1", "v2"}
    assert seen.sent > 100


def test_deployments_one_after_the_other_lose_no_request_and_cut_no_slow_one(app: Deployable) -> None:
    with load(app) as seen, concurrent.futures.ThreadPoolExecutor(1) as other:
        slow = other.submit(app.ask, "/slow?seconds=4", 20)
        for step in range(4):
            app.repository.commit({"step": str(step)})
            app.go_live()
        assert slow.result().json()["release"] == "v1"
    assert not seen.failed, seen.failed[:5]
    assert seen.releases >= {"v1", "v5"}


def test_a_stream_lives_on_through_a_switch_until_the_drain_ends(app: Deployable) -> None:
    app.change_settings(drain_seconds=DRAIN.seconds, standby_seconds=0)
    with app_stream(app, "/events") as lines:
        assert next(lines) == "data: v2"
        app.repository.commit({"next": ""})
        number = app.go_live()["id"]
        assert app.answering() == "v3"
        assert {line for line in lines if line} == {"data: v2"}
        ended = datetime.now(UTC)
    assert ended >= app.began(number, "switching") + DRAIN


def test_a_websocket_is_answered_by_the_old_release_through_a_switch_until_the_drain_ends(app: Deployable) -> None:
    app.change_settings(drain_seconds=DRAIN.seconds, standby_seconds=0)
    with websocket(app) as old, concurrent.futures.ThreadPoolExecutor(1) as other:
        assert answer_of(old) == "v2"
        talk = other.submit(talk_until_closed, old)
        app.repository.commit({"next": ""})
        number = app.go_live()["id"]
        with websocket(app) as new:
            assert answer_of(new) == "v3"
            answers, ended = talk.result()
            assert answer_of(new) == "v3"
    assert answers == {"v2"}
    assert ended >= app.began(number, "switching") + DRAIN


def test_scaling_under_load_loses_no_request(app: Deployable) -> None:
    # A scale reloads nginx, which may close a kept connection just as it is used again: new ones each time.
    with load(app, kept=False) as seen:
        for count in (3, 1, 2, 1):
            app.scale(web=count)
            time.sleep(0.3)
    assert not seen.failed, seen.failed[:5]


def test_scaling_while_a_deployment_is_checked_is_answered_and_done_when_it_can_be(app: Deployable) -> None:
    unhealthy = {"settings": {"health_seconds": 120, "health_path": "/fail"}}
    app.api("PATCH", f"/apps/{app.name}/environments/production", unhealthy)
    number = app.newest()
    app.wait_for_state(number, ("checking",))
    app.scale(web=2)
    assert app.get(number)["state"] == "checking"
    app.cancel(number)
    app.wait(number)
    until(lambda: running(app) == {"web": 2}, "the scale is as it was asked for")


def test_changes_of_the_scale_at_the_same_moment_all_count(make: Make) -> None:
    names = [f"w{number}" for number in range(6)]
    app = make("\n".join(f"{name}: sleep 1000" for name in names))
    with concurrent.futures.ThreadPoolExecutor(len(names)) as people:
        list(people.map(lambda name: app.scale(**{name: 0}), names))
    found = app.api("GET", f"/apps/{app.name}/environments/production")
    assert found["scale"] == dict.fromkeys(names, 0)


def test_a_slot_that_takes_long_to_stop_holds_up_no_other_environment(make: Make) -> None:
    slow, quick = make(), make()
    slow.repository.commit({"Procfile": "web: trap '' TERM; python3 server.py & while :; do sleep 1; done\n"})
    for app in (slow, quick):
        app.change_settings(standby_seconds=0, drain_seconds=1, stop_seconds=300)
        app.go_live()
    slow.repository.commit({"Procfile": WEB + "\n"})
    slow.go_live()
    until(lambda: "stopping" in slots(slow), "the slow one's old slot is being stopped")
    try:
        quick.repository.commit({"next": ""})
        quick.go_live()
        until(lambda: slots(quick) == ["live"], "the quick one's old slot is gone")
        assert "stopping" in slots(slow)
    finally:
        units = f"slipway-*-e{slow.environment_id}-v1-*"
        slow.box.systemctl("kill", "--signal=KILL", units)


def test_a_crash_loop_within_the_first_minute_is_rolled_back_by_itself(app: Deployable) -> None:
    app.repository.commit({"Procfile": f"{WEB}\nworker: echo it cannot work; exit 3\n"})
    bad = app.go_live()["id"]
    until(lambda: app.live() == "v1", "the old release is live again")
    until(lambda: app.get(bad)["reason"] is not None, "the deployment says why")
    app.wait(app.newest())
    assert app.get(bad)["reason"] == (
        "Worker ended 3 times within a minute of going live (ended by itself with exit code 3). "
        "It is being rolled back to v1 by itself."
    )
    assert app.answering() == "v1"
    listed = app.box.slipway("deployments", app.name).stdout.splitlines()
    assert [line.split()[3] for line in listed[1:]] == ["live", "undone", "done"], "only one is live"


def test_a_burst_of_server_errors_is_rolled_back_by_itself(app: Deployable) -> None:
    app.repository.commit({"next": ""})
    app.go_live()
    for _ in range(30):
        app.ask("/fail")
    until(lambda: app.live() == "v1", "the old release is live again")
    app.wait(app.newest())
    assert app.answering() == "v1"


def test_an_automatic_rollback_that_waited_does_not_undo_what_went_live_meanwhile(app: Deployable, box: Box) -> None:
    app.repository.commit({"next": ""})
    bad = app.go_live()["id"]
    app.repository.commit({"fix": ""})
    app.go_live()
    # What watching left behind when the daemon died: asked for while v3 was past its point of no return.
    with daemon_down(box):
        rollback = query(
            box,
            f"""WITH made AS (INSERT INTO deployments (environment_id, kind, state, target_release, trigger)
                VALUES ({app.environment_id}, 'rollback', 'queued', 1, 'automatic') RETURNING id)
                UPDATE deployments SET undone_by = made.id FROM made WHERE deployments.id = {bad} RETURNING made.id""",
        )
    ended = app.wait(int(rollback))
    assert ended["state"] == "cancelled"
    assert ended["reason"] == "v2 was to be taken back, but v3 went live meanwhile, and stays."
    assert app.answering() == "v3"


def test_after_a_release_command_nothing_is_rolled_back_by_itself_and_it_says_so(app: Deployable) -> None:
    app.repository.commit({"Procfile": f"{WEB}\nrelease: echo migrated\n"})
    bad = app.go_live()["id"]
    for _ in range(30):
        app.ask("/fail")
    until(lambda: "ran a release command" in (app.get(bad)["reason"] or ""), "it says that it was not rolled back")
    assert app.answering() == "v2"


# ---- crashes


def test_a_crash_is_told_with_exit_code_and_last_lines_and_the_process_starts_again(app: Deployable) -> None:
    app.ask("/say?text=something-is-wrong")
    assert app.ask("/exit?code=9").status_code == 502
    until(lambda: bool(app.crashes()), "the crash is told")
    [crash] = app.crashes()
    assert (crash["process"], crash["exit_code"], crash["signal"], crash["out_of_memory"]) == ("web", 9, None, False)
    assert any("something-is-wrong" in line for line in crash["lines"])
    told = app.box.slipway("crashes", app.name).stdout
    assert re.search(r": v1 web\.0 ended by itself with exit code 9\n(  │ .*\n)*  │ .*something-is-wrong", told), told
    until(lambda: app.ask().status_code == 200, "it answers again")
    headings, row = app.box.slipway("ps", app.name).stdout.splitlines()
    assert headings.split("\t") == ["Instance", "State", "Restarts", "Command"]
    assert row.split("\t") == ["web.0", "active", "1", "python3 server.py"]


def test_an_out_of_memory_kill_is_told_as_such(make: Make) -> None:
    app = make(f"{WEB}\nworker: python3 -c 'x = bytearray(10**9)'")
    app.change_settings(memory=64)
    app.go_live()
    until(lambda: bool(app.crashes()), "the crash is told")
    assert app.crashes()[0]["out_of_memory"]
    app.scale(worker=0)


def test_a_crash_while_the_daemon_was_down_is_told_when_it_is_back(app: Deployable, box: Box) -> None:
    pid = app.ask().json()["pid"]
    records = box.state / "run/slipway/exits"
    with daemon_down(box):
        before = set(records.iterdir())
        box.kill(pid)
        until(lambda: set(records.iterdir()) > before, "the exit is recorded")
    until(lambda: _crashed(app), "the crash is told")
    assert app.crashes()[0]["signal"] == "SIGKILL"


# ---- streams of Slipway's own


def test_the_log_of_a_deployment_is_taken_up_again_without_loss_or_doubling(app: Deployable, box: Box) -> None:
    build = "for i in $(seq 1 60); do echo line $i; sleep 0.1; done"
    app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": {"build_command": build}})
    app.wait(app.newest())
    app.repository.commit({"next": ""})
    number = app.request()
    path = f"/api/apps/{app.name}/deployments/{number}/log/stream"
    events: list[dict[str, str]] = []
    restarted = False
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (events and events[-1].get("event") == "end"):
        last = next((one["id"] for one in reversed(events) if "id" in one), "")
        try:
            for event in slipway_events(box, path, last):
                events.append(event)
                if not restarted and "line 10" in event.get("data", ""):
                    restarted = True
                    box.restart("daemon")
        except httpx.HTTPError:
            time.sleep(0.2)
    lines = [line for one in events if one.get("event") == "line" for line in json.loads(one["data"])]
    assert restarted
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    counted = [line["text"] for line in lines if re.fullmatch(r"line \d+", line["text"])]
    assert counted == [f"line {number}" for number in range(1, 61)]


def test_the_runtime_log_is_taken_up_again_without_loss_or_doubling(make: Make, box: Box) -> None:
    app = make(f"{WEB}\nworker: i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done")
    app.go_live()
    path = f"/api/apps/{app.name}/environments/production/log/stream"
    last, ticks, restarted = "", [], False
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and len(ticks) < 150:
        try:
            for event in slipway_events(box, path, last):
                last = event.get("id", last)
                texts = [line["text"] for line in json.loads(event["data"])] if event.get("event") == "lines" else []
                ticks += [int(text.split()[1]) for text in texts if text.startswith("tick ")]
                if len(ticks) >= 150 or time.monotonic() > deadline:
                    break
                if not restarted and len(ticks) > 40:
                    restarted = True
                    box.restart("daemon")
        except httpx.HTTPError:
            time.sleep(0.2)
    assert restarted
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))


def slipway_events(box: Box, path: str, last: str) -> Iterator[dict[str, str]]:
    """Server-Sent Events of the panel, as one who comes back with Last-Event-ID gets them."""
    headers = {"Last-Event-ID": last} if last else {}
    transport = httpx.HTTPTransport(uds=str(box.state / "run/slipway/admin.sock"))
    with (
        httpx.Client(transport=transport, base_url="http://localhost", timeout=20) as client,
        client.stream("GET", path, headers=headers) as answer,
    ):
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(":")
                event[name] = value.removeprefix(" ")
            elif event:
                if "data" in event:
                    yield event
                event = {}


def websocket(app: Deployable) -> ClientConnection:
    url = f"ws://{app.box.hostname(app.name)}/ws"
    return connect(url, sock=app.box.connect(app.name), compression=None, proxy=None, ping_interval=None)


def answer_of(connection: ClientConnection) -> str:
    connection.send("who?")
    return str(connection.recv(timeout=20))


def talk_until_closed(connection: ClientConnection) -> tuple[set[str], datetime]:
    """→ who answered, and when the connection ended."""
    answers, deadline = set(), time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            answers.add(answer_of(connection))
        except ConnectionClosed:
            return answers, datetime.now(UTC)
        time.sleep(0.05)
    raise AssertionError("the old release answers after the end of its drain")


@contextmanager
def app_stream(app: Deployable, path: str) -> Iterator[Iterator[str]]:
    with app.box.visitor(app.name, seconds=20) as visitor, visitor.stream("GET", path) as answer:

        def lines() -> Iterator[str]:
            try:
                yield from answer.iter_lines()
            except httpx.RemoteProtocolError:
                return  # the drain is over

        yield lines()


def _crashed(app: Deployable) -> bool:
    try:
        return bool(app.crashes())
    except httpx.HTTPError:
        return False
