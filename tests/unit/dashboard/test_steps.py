"""A deployment's phases as steps."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from slipway.dashboard.frame import summarize
from slipway.dashboard.steps import steps_of
from slipway.deployments.models import Deployment, Kind, Phase, State

START = datetime(2026, 1, 1, tzinfo=UTC)


def deployment(kind: Kind, state: State) -> Deployment:
    fields = dict.fromkeys((field.name for field in msgspec.structs.fields(Deployment)), None)
    required = {"id": 1, "environment_id": 1, "kind": kind, "state": state, "trigger": "person", "created_at": START}
    return Deployment(**(fields | required))  # type: ignore[arg-type]


def phases(*names: str, open_last: bool = False) -> list[Phase]:
    ends = [START + timedelta(seconds=n + 1) for n in range(len(names))]
    return [
        Phase(name, START + timedelta(seconds=n), None if open_last and n == len(names) - 1 else ends[n], None)
        for n, name in enumerate(names)
    ]


def looks(kind: Kind, state: State, *begun: str, open_last: bool = False) -> str:
    return " ".join(step.look for step in steps_of(deployment(kind, state), phases(*begun, open_last=open_last)))


def test_a_deployment_under_way_shows_what_is_done_what_runs_and_what_comes() -> None:
    assert looks(Kind.DEPLOY, State.BUILDING, "fetching", "building", open_last=True) == (
        "done now ahead ahead ahead ahead"
    )


def test_a_phase_that_was_not_needed_is_told_from_one_that_comes_yet() -> None:
    assert looks(Kind.DEPLOY, State.STARTING, "fetching", "building", "starting", open_last=True) == (
        "done done skipped now ahead ahead"
    )


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_the_phase_in_which_it_ended_badly_is_the_last_that_began(state: State) -> None:
    assert looks(Kind.DEPLOY, state, "fetching", "building") == "done broken ahead ahead ahead ahead"


def test_a_rollback_has_nothing_to_fetch_or_build() -> None:
    assert looks(Kind.ROLLBACK, State.LIVE, "starting", "checking", "switching") == "skipped done done done"


def test_what_is_under_way_comes_before_what_failed_and_what_is_live() -> None:
    assert summarize(None, deployment(Kind.DEPLOY, State.BUILDING)).words == "Deploying"
    assert summarize(None, deployment(Kind.ROLLBACK, State.CHECKING)).words == "Rolling back"
    assert summarize(None, deployment(Kind.DEPLOY, State.FAILED)).words == "Failed"
    assert summarize(None, None).words == "Not deployed"
