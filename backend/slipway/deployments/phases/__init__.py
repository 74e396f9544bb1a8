"""The phases of a deployment: each is one step of the story, and may be begun again after a crash."""

from slipway.deployments.models import Kind, State
from slipway.deployments.phases.build import build
from slipway.deployments.phases.check import check
from slipway.deployments.phases.fetch import fetch
from slipway.deployments.phases.release import release
from slipway.deployments.phases.start import start
from slipway.deployments.phases.switch import switch

STEPS = {
    State.FETCHING: fetch,
    State.BUILDING: build,
    State.RELEASING: release,
    State.STARTING: start,
    State.CHECKING: check,
    State.SWITCHING: switch,
}

_ALL = (State.FETCHING, State.BUILDING, State.RELEASING, State.STARTING, State.CHECKING, State.SWITCHING)
_WITHOUT_BUILD = (State.RELEASING, State.STARTING, State.CHECKING, State.SWITCHING)
_BACK = (State.STARTING, State.CHECKING, State.SWITCHING)

PHASES_OF = {
    Kind.DEPLOY: _ALL,
    Kind.VARIABLES: _WITHOUT_BUILD,
    Kind.SETTINGS: _WITHOUT_BUILD,
    Kind.ROLLBACK: _BACK,
}

__all__ = ["PHASES_OF", "STEPS"]
