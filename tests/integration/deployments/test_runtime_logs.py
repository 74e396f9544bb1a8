"""What an app writes, over the journal: whole in pages, live without loss, whoever is slow, lost or mistaken."""

import json
import re
import subprocess

import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import WEB, Deployable, query, until
from tests.integration.deployments.test_serving import slipway_events

COUNT = "i=0; while [ $i -lt {most} ]; do i=$((i+1)); echo tick $i; sleep {pause}; done; sleep 1000"


def log_path(app: Deployable) -> str:
    return f"/apps/{app.name}/environments/production/log"


def ticks_of(lines: list[dict[str, object]]) -> list[int]:
    return [int(str(line["text"]).split()[1]) for line in lines if str(line["text"]).startswith("tick ")]


def newest(app: Deployable, lines: int = 200) -> list[dict[str, object]]:
    found: list[dict[str, object]] = app.api("GET", f"{log_path(app)}?format=json&lines={lines}")["items"]
    return found


def test_pages_reach_the_first_line_whoever_else_writes_in_between(make: Make, box: Box) -> None:
    app = make(f"release: seq 300 | sed s/^/migrating-/\nworker: {COUNT.format(most=50, pause=0)}")
    app.go_live()
    until(lambda: ticks_of(newest(app))[-1:] == [50], "the worker has counted")
    # Another service of this machine may use any identifier.
    foreign = f"seq 60 | sed s/^/foreign-/ | systemd-cat --identifier=e{app.environment_id}"
    assert box.enter("sh", "-c", foreign).returncode == 0
    app.go_live()
    until(lambda: ticks_of(newest(app, 1000)).count(50) == 2, "the second release's worker has counted")
    pages: list[list[dict[str, object]]] = []
    before = ""
    while before is not None:
        page = app.api("GET", f"{log_path(app)}?format=json&lines=20{before and '&before=' + before}")
        pages.insert(0, page["items"])
        before = page["next"]
        assert len(pages) < 30, "there is an end"
    assert ticks_of([line for page in pages for line in page]) == [*range(1, 51), *range(1, 51)]
    texts = [str(line["text"]) for page in pages for line in page]
    assert not [text for text in texts if "migrating" in text or "foreign" in text]
    assert [line["text"] for line in pages[-1]] == [line["text"] for line in newest(app, 20)]


def test_one_who_reads_slower_than_an_app_writes_misses_nothing(make: Make, box: Box) -> None:
    most = 8000
    flood = f'seq {most} | sed "s/.*/tick & $(printf %900s)/"'
    app = make(f"worker: echo ready; while [ ! -e $HOME/go ]; do sleep 0.1; done; {flood}; sleep 1000")
    app.go_live()
    ticks: list[int] = []
    for event in slipway_events(box, f"/api{log_path(app)}/stream", ""):
        lines = json.loads(event["data"])
        if not ticks and "ready" in [line["text"] for line in lines]:
            (app.data / "go").touch()
            # It takes nothing until all is written: that is more than waits for it in memory and on the way.
            until(lambda: ticks_of(newest(app, 1)) == [most], "all is written")
        ticks += ticks_of(lines)
        if ticks[-1:] == [most]:
            break
    assert ticks == list(range(1, most + 1))


@pytest.mark.parametrize("mistake", ["later than any", "none at all"])
def test_a_mistaken_cursor_does_not_keep_lines_from_coming(make: Make, box: Box, mistake: str) -> None:
    app = make(f"worker: {COUNT.format(most=100000, pause=0.1)}")
    app.go_live()
    until(lambda: ticks_of(newest(app)), "the worker counts")
    cursor = str(newest(app)[-1]["cursor"])
    wrong = re.sub(r"i=[0-9a-f]+", "i=ffffffffff", cursor) if mistake == "later than any" else "s=nothing"
    # With another time, too: the journal would go by that.
    wrong = re.sub(r"([mt])=[0-9a-f]+", r"\1=fffffffffffff", wrong)
    seen = ticks_of(newest(app))[-1]
    for event in slipway_events(box, f"/api{log_path(app)}/stream", wrong):
        if event.get("event") == "lines" and ticks_of(json.loads(event["data"]))[-1] > seen + 5:
            break


def test_a_place_in_the_journal_that_is_none_loses_what_was_said_and_says_so_but_not_what_comes(
    make: Make, box: Box
) -> None:
    app = make()
    app.go_live()
    box.systemctl("stop", box.unit("daemon"))
    query(box, "UPDATE journal_cursors SET cursor = 's=nothing'")
    box.systemctl("start", box.unit("daemon"))
    until(lambda: "lines are lost" in box.journal(1000), "its log says so", 30)
    app.repository.commit({"Procfile": f"release: echo migrated\n{WEB}\n"})
    ended = app.go_live()
    assert "migrated" in app.log(ended["id"])
    assert query(box, "SELECT cursor FROM journal_cursors") != "s=nothing"


def test_the_command_line_tells_which_release_and_instance_said_it(make: Make, box: Box) -> None:
    app = make("worker: echo it begins; sleep 1000")
    app.go_live()
    until(lambda: "v1 worker.0 │ it begins" in box.slipway("logs", app.name).stdout, "it is told")


def test_the_command_line_follows_a_log_over_a_restart_without_loss_or_doubling(make: Make, box: Box) -> None:
    app = make(f"{WEB}\nworker: {COUNT.format(most=100000, pause=0.05)}")
    app.go_live()
    command = box.command("logs", app.name, "-f", "--json")
    following = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)
    assert following.stdout is not None
    ticks: list[int] = []
    restarted = False
    try:
        for line in following.stdout:
            ticks += ticks_of([json.loads(line)])
            if not restarted and len(ticks) > 40:
                restarted = True
                box.restart("daemon")
                until_tick = ticks[-1] + 100
            if restarted and ticks[-1:] and ticks[-1] >= until_tick:
                break
    finally:
        following.stdout.close()  # it ends at its next line, in whatever world it runs
        following.kill()
        following.wait()
    assert restarted
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks)))
