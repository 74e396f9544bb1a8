"""Whichever verb to the host agent and whichever write to the database fails: within a minute the deployment has ended,
one whole release is live, and nothing is left over."""

import itertools
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import makes
from tests.integration.deployments.faults import Faults
from tests.integration.deployments.helpers import Deployable, until
from tests.integration.deployments.test_settling import kill, settles

VERB_FAULTS = ("lost", "lost after", "failed", "failed after", "unavailable", "unavailable after")
"""Never arrived; carried out, and the answer lost; refused; carried out, and told that it was not; and twice the same
where the agent says that it cannot now. See `faults.py`."""
WRITE_FAULTS = ("lost", "lost after")
BESIDE = "deployment_log|journal_cursor|figures|access_log"
"""Writes that go on all the time, and are failed where there is time for them (tests/vps/engine)."""
LEAST = {"verb": 20, "write": 30}
"""A good deployment has more."""
PROCFILE = "web: python3 server.py\nworker: sleep 1000\nrelease: true"


@pytest.fixture(scope="module")
def faults(breakable: Box) -> Iterator[Faults]:
    one = Faults(breakable)
    yield one
    one.end()


@pytest.fixture(scope="module")
def app(breakable: Box, faults: Faults, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployable]:
    for make in makes(breakable, tmp_path_factory.mktemp("apps")):
        app = make(PROCFILE)
        app.go_live()
        yield app


def test_a_deployment_settles_whichever_verb_fails(app: Deployable, faults: Faults) -> None:
    every(app, faults, "verb", VERB_FAULTS)


def test_a_deployment_settles_whichever_write_fails(app: Deployable, faults: Faults) -> None:
    every(app, faults, "write", WRITE_FAULTS, but=BESIDE)


def test_a_daemon_that_dies_between_the_rename_and_its_commit_is_settled(app: Deployable, faults: Faults) -> None:
    before = app.live()
    app.repository.commit({"change": "between"})
    number = stands_between(app, faults)
    kill("daemon")(app.box)
    settles(app, number, before)


def stands_between(app: Deployable, faults: Faults) -> int:
    """→ a deployment whose route marker has been renamed, and nothing of that is in the database."""
    before = app.answering()
    faults.arm("verb", 1, "hold after", only="switch")
    number = app.request()
    until(lambda: bool(faults.counted()["failed"]), "the switch has been made")
    assert app.answering() != before
    assert app.get(number)["state"] == "switching"
    return number


def every(app: Deployable, faults: Faults, what: str, ways: tuple[str, ...], but: str = "^$") -> list[str]:
    """One deployment for each verb or write that one has; they fail in these ways in turn. → what failed"""
    failed: list[str] = []
    for nth, how in enumerate(itertools.cycle(ways), 1):
        before = app.live()
        app.repository.commit({"change": f"{what} {nth} {how}"})
        faults.arm(what, nth, how, but=but)
        app.box.does(f"one deployment for each {what} that one has, which fails: {', '.join(ways)}")
        number = asked_for(app)
        try:
            settles(app, number, before)
        except (AssertionError, pytest.fail.Exception) as error:
            raise AssertionError(f"{what} {nth} ({faults.counted()['failed']}) {how}: {error}") from error
        name = faults.counted()["failed"]
        if not name:
            break  # it had fewer
        failed.append(f"{nth} {how}: {name} → {app.get(number)['state']}")
    faults.disarm()
    print("\n".join(failed))
    app.box.notes(f"{len(failed)} deployments, each of which ended with one whole release live")
    assert len(failed) >= LEAST[what]
    return failed


def asked_for(app: Deployable) -> int:
    """→ the number of a deployment; whoever got no answer looks whether it was taken all the same."""
    before = app.newest()
    answer = app.api.ask("POST", f"/apps/{app.name}/environments/production/deployments", {"commit": None})
    if answer.is_success:
        return int(answer.json()["id"])
    assert answer.status_code == 503, answer.text
    return newest if (newest := app.newest()) != before else app.request()
