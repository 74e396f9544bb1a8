"""A deployment's phases as the steps that its page draws."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from slipway import clock
from slipway.deployments.models import PHASES, Deployment, Kind, Phase, State

WORDS = {
    State.FETCHING: "Fetch",
    State.BUILDING: "Build",
    State.RELEASING: "Release",
    State.STARTING: "Start",
    State.CHECKING: "Check",
    State.SWITCHING: "Switch",
}
WITHOUT_BUILD = frozenset({State.FETCHING, State.BUILDING})


class Step(msgspec.Struct, frozen=True):
    """`look` is done, now, broken, skipped or ahead; `state` says it in words. Times in seconds."""

    words: str
    look: str
    state: str
    started_at: datetime | None = None
    seconds: float | None = None
    running: float = 0.0


def steps_of(deployment: Deployment, phases: Sequence[Phase]) -> list[Step]:
    """Every phase that this kind of deployment can have, in order."""
    begun = {phase.phase: phase for phase in phases}
    expected = [
        state
        for state in PHASES
        if state.value in begun or deployment.kind is Kind.DEPLOY or state not in WITHOUT_BUILD
    ]
    last = max((expected.index(State(name)) for name in begun if State(name) in expected), default=-1)
    return [_step(deployment, begun.get(state.value), state, at, last) for at, state in enumerate(expected)]


def _step(deployment: Deployment, phase: Phase | None, state: State, at: int, last: int) -> Step:
    words = WORDS[state]
    if phase is None:
        passed = at < last or deployment.state is State.LIVE
        return Step(words, "skipped", "not needed") if passed else Step(words, "ahead", "not begun")
    if at == last and deployment.state in (State.FAILED, State.CANCELLED):
        return Step(words, "broken", deployment.state.value, phase.started_at, phase.seconds)
    if phase.ended_at is None:
        running = (clock.now() - phase.started_at).total_seconds()
        return Step(words, "now", "under way", phase.started_at, None, max(0.0, running))
    return Step(words, "done", "done", phase.started_at, phase.seconds)
