"""Whatever dies in the middle of a deployment, and in whichever phase: within a minute all is settled, and one whole
release is live."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import makes
from tests.integration.deployments.helpers import ENDED, Deployable, until
from tests.integration.deployments.leftovers import nothing_is_left_behind

PHASES = ("fetching", "building", "releasing", "starting", "checking", "switching")
SETTLED_SECONDS = 60
PROCFILE = """web: sleep 0.4; exec python3 server.py
worker: sleep 1000
release: echo "$SLIPWAY_RELEASE" >> "$HOME/ran"; sleep {seconds}"""


@pytest.fixture(scope="module")
def app(breakable: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployable]:
    """A live one, of which every phase takes a moment."""
    for make in makes(breakable, tmp_path_factory.mktemp("apps")):
        app = make(PROCFILE.format(seconds=0.4))
        app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": {"build_command": "sleep 0.4"}})
        app.go_live()
        yield app


@pytest.fixture
def in_release_command(app: Deployable) -> Iterator[int]:
    """The number of a deployment whose release command has begun, and would go on for long."""
    app.repository.commit({"Procfile": PROCFILE.format(seconds=1000)})
    before = len(ran(app))
    number = app.request()
    until(lambda: len(ran(app)) > before, "the release command has begun", SETTLED_SECONDS)
    yield number
    app.repository.commit({"Procfile": PROCFILE.format(seconds=0.4)})


def ran(app: Deployable) -> list[str]:
    """The releases whose command has run, a line for each time."""
    return [line for file in app.data.rglob("ran") for line in file.read_text().split()]


def pid_of(box: Box, part: str) -> int:
    return int(box.systemctl("show", "--property=MainPID", "--value", box.unit(part)).stdout)


def kill(part: str) -> Callable[[Box], None]:
    def act(box: Box) -> None:
        until(lambda: pid_of(box, part) != 0, f"there is a {part} to kill")
        pid = pid_of(box, part)
        box.kill(pid)
        # Else what is looked at next could still come from the one that is dying.
        until(lambda: pid_of(box, part) not in (0, pid), f"another {part} has begun")

    act.__name__ = f"kill_{part}"
    return act


def restart(part: str) -> Callable[[Box], None]:
    def act(box: Box) -> None:
        box.restart(part)

    act.__name__ = f"restart_{part}"
    return act


ACTS = [kill("daemon"), kill("host"), kill("postgresql"), kill("nginx"), restart("postgresql")]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("act", ACTS, ids=lambda act: act.__name__)
def test_a_death_in_each_phase_is_settled(app: Deployable, act: Callable[[Box], None], phase: str) -> None:
    before = app.live()
    app.repository.commit({"change": act.__name__ + phase})
    number = app.request()
    app.wait_for_state(number, PHASES[PHASES.index(phase) :])
    app.box.does(f"{act.__name__.replace('_', ' ')} while it is {phase}")
    act(app.box)
    # Without an nginx that answers a release does not go live: that one is just being started again may be too late.
    is_settled(app, number, before, "nginx" if act.__name__ == "kill_nginx" else "may have run")


def test_a_box_that_goes_down_in_mid_deployment_goes_on_when_it_is_up_again(app: Deployable) -> None:
    before = app.live()
    app.repository.commit({"change": "down"})
    number = app.request()
    app.wait_for_state(number, ("building",))
    app.box.does("down and up again while it is building")
    app.box.down_and_up()
    is_settled(app, number, before)


@pytest.mark.parametrize("how", [("kill", "--signal=KILL"), ("stop",)], ids=["killed", "stopped"])
def test_a_release_command_that_is_ended_from_outside_may_have_run_and_is_not_run_again(
    app: Deployable, in_release_command: int, how: tuple[str, ...]
) -> None:
    before, unit = app.live(), app.box.unit(f"release-{in_release_command}")
    assert app.box.systemctl(*how, unit).returncode == 0
    may_have_run_once(app, in_release_command, before)


def test_a_release_command_that_is_gone_when_slipway_comes_back_may_have_run_and_is_not_run_again(
    app: Deployable, in_release_command: int
) -> None:
    before = app.live()
    parts = [pid_of(app.box, part) for part in ("daemon", "host")]
    for pid in parts:
        app.box.kill(pid, "STOP")  # so that neither sees how it ends
    unit = app.box.unit(f"release-{in_release_command}")
    assert app.box.systemctl("stop", unit).returncode == 0
    for pid in parts:
        app.box.kill(pid)
    may_have_run_once(app, in_release_command, before)


def may_have_run_once(app: Deployable, number: int, before: str | None) -> None:
    is_settled(app, number, before)
    ended = app.get(number)
    assert (ended["state"], app.live()) == ("failed", before)
    assert "may have run, wholly or in part, and is not run again by itself" in ended["reason"]
    for part in ("host", "daemon"):
        kill(part)(app.box)
    is_settled(app, number, before)
    assert ran(app).count(ended["release"]) == 1


def is_settled(app: Deployable, number: int, before: str | None, reason: str = "may have run") -> None:
    """As `settles`; and only a release command that was interrupted, or what the reason says, makes it fail."""
    ended = settles(app, number, before)
    assert len(ran(app)) == len(set(ran(app))), "a release command never runs again by itself"
    if ended["state"] == "failed":
        assert reason in ended["reason"], ended["reason"]


def settles(app: Deployable, number: int, before: str | None) -> dict[str, Any]:
    """The deployment has ended; what is live answers, whole; nothing else is there. → the deployment"""
    began = time.monotonic()
    until(lambda: has_ended(app, number), f"deployment {number} has ended", SETTLED_SECONDS)
    ended = app.get(number)
    assert ended["state"] in ("live", "failed"), ended
    live = ended["release"] if ended["state"] == "live" else before
    assert app.live() == live, ended
    # One that failed after the switch is undone right after its end is told.
    until(lambda: app.answering() == live, f"{live} answers", SETTLED_SECONDS - (time.monotonic() - began))
    nothing_is_left_behind(app.box, SETTLED_SECONDS - (time.monotonic() - began))
    all_of_it = {"web": ["active"], "worker": ["active"]}
    rest = SETTLED_SECONDS - (time.monotonic() - began)
    until(lambda: instances(app) == all_of_it, f"one instance of each runs, not {instances(app)}", rest)
    app.box.has_settled()
    return ended


def instances(app: Deployable) -> dict[str, list[str]]:
    """By process, in which state each is."""
    answer = app.api.ask("GET", f"/apps/{app.name}/environments/production/processes")
    running = answer.json() if answer.is_success else []
    return {one["name"]: [each["active"] for each in one["instances"]] for one in running}


def has_ended(app: Deployable, number: int) -> bool:
    try:
        return app.get(number)["state"] in ENDED
    except (httpx.HTTPError, AssertionError):
        return False
