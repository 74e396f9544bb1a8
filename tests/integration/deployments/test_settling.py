"""Whatever dies in the middle of a deployment, and in whichever phase: within a minute all is settled, and one whole
release is live."""

import os
import signal
import time
from collections.abc import Callable, Iterator

import httpx
import pytest
from tests.integration.conftest import Box, fresh_box
from tests.integration.deployments.conftest import makes
from tests.integration.deployments.helpers import ENDED, Deployable, until
from tests.integration.deployments.leftovers import nothing_is_left_behind
from tests.integration.local.test_box import own_id

PHASES = ("fetching", "building", "releasing", "starting", "checking", "switching")
SETTLED_SECONDS = 60
RELEASE_COMMAND = 'echo "$SLIPWAY_RELEASE" >> "$HOME/ran"; sleep 0.4'


@pytest.fixture(scope="module")
def breakable() -> Iterator[Box]:
    """A box for the tests of this module, which kill its parts."""
    one = fresh_box()
    try:
        one.up()
        yield one
    finally:
        one.end()


@pytest.fixture(scope="module")
def app(breakable: Box, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployable]:
    """A live one, of which every phase takes a moment."""
    for make in makes(breakable, tmp_path_factory.mktemp("apps")):
        app = make(f"web: sleep 0.4; exec python3 server.py\nworker: sleep 1000\nrelease: {RELEASE_COMMAND}")
        app.api("PATCH", f"/apps/{app.name}/environments/production", {"settings": {"build_command": "sleep 0.4"}})
        app.go_live()
        yield app


def pid_of(box: Box, part: str) -> int:
    unit = f"slipway-{own_id(box)}-{part}.service"
    return int(box.enter("systemctl", "--user", "show", "--property=MainPID", "--value", unit).stdout)


def kill(part: str) -> Callable[[Box], None]:
    def act(box: Box) -> None:
        pid = pid_of(box, part)
        if pid:
            os.kill(pid, signal.SIGKILL)

    act.__name__ = f"kill_{part}"
    return act


def down_and_up(box: Box) -> None:
    assert box.slipway("down").returncode == 0
    box.up()


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("act", [kill("daemon"), kill("host"), kill("postgresql")], ids=lambda act: act.__name__)
def test_a_death_in_each_phase_is_settled(app: Deployable, act: Callable[[Box], None], phase: str) -> None:
    before = app.live()
    app.repository.commit({"change": act.__name__ + phase})
    number = app.request()
    app.wait_for_state(number, PHASES[PHASES.index(phase) :])
    act(app.box)
    is_settled(app, number, before)


def test_a_box_that_goes_down_in_mid_deployment_goes_on_when_it_is_up_again(app: Deployable) -> None:
    before = app.live()
    app.repository.commit({"change": "down"})
    number = app.request()
    app.wait_for_state(number, ("building",))
    down_and_up(app.box)
    is_settled(app, number, before)


def is_settled(app: Deployable, number: int, before: str | None) -> None:
    """The deployment has ended; what is live answers, whole; nothing else is there."""
    began = time.monotonic()
    until(lambda: has_ended(app, number), f"deployment {number} has ended", SETTLED_SECONDS)
    ended = app.get(number)
    assert ended["state"] in ("live", "failed"), ended
    live = ended["release"] if ended["state"] == "live" else before
    assert app.live() == live, ended
    assert app.answering() == live
    nothing_is_left_behind(app.box, SETTLED_SECONDS - (time.monotonic() - began))
    running = app.api("GET", f"/apps/{app.name}/environments/production/processes")
    assert {one["name"]: [each["active"] for each in one["instances"]] for one in running} == {
        "web": ["active"], "worker": ["active"],
    }  # fmt: skip
    ran = [line for file in app.data.rglob("ran") for line in file.read_text().split()]
    assert len(ran) == len(set(ran)), "a release command never runs again by itself"
    if ended["state"] == "failed":
        assert "may have run" in ended["reason"], ended["reason"]


def has_ended(app: Deployable, number: int) -> bool:
    try:
        return app.get(number)["state"] in ENDED
    except (httpx.HTTPError, AssertionError):
        return False
