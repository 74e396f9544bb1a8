"""Switches on a whole server: two hundred of them while visitors ask, and a release that is well only at first."""

from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import until
from tests.integration.deployments.test_serving import load
from tests.vps.boxes import OnServer
from tests.vps.outside import agrees

SWITCHES = 200


def test_two_hundred_switches_under_load_lose_no_request(make: Make, box: OnServer) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"change": "two"})
    app.go_live()
    box.does(f"{SWITCHES} rollbacks from v1 to v2 and back, while 4 visitors ask and post without a pause")
    with load(app) as seen:
        for number in range(SWITCHES):
            ended = app.rollback(1 if number % 2 == 0 else 2)
            assert ended["state"] == "live", ended
    assert not seen.failed, f"{len(seen.failed)} of {seen.sent}: {seen.failed[:3]}"
    agrees(box.server)
    box.server.story.notes(f"{seen.sent} requests, none lost")


def test_a_release_that_is_well_once_and_then_crashes_is_taken_back(make: Make, box: OnServer) -> None:
    app = make()
    app.go_live()
    app.repository.commit({"Procfile": "web: (sleep 2; kill -9 $$) & exec python3 server.py\n"})
    box.does("a release that is healthy when it is checked, and crashes 2 s after each start")
    assert app.deploy()["state"] == "live"
    until(lambda: app.live() == "v1", "it is rolled back by itself")
    agrees(box.server)
    assert app.answering() == "v1"
    box.server.story.notes("rolled back by itself")
