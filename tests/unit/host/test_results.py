"""Which limit ended a piece of work."""

from typing import Any, cast

import pytest

from slipway.host.agent import exits, results
from slipway.host.agent.exits import Report
from slipway.host.agent.systemd import UnitState
from slipway.host.protocol import WorkKind

UNIT = "slipway-ab12-build-7.service"
KILLED = UnitState("failed", "failed", "oom-kill", 2, 9, 0, 0, 1)


@pytest.mark.parametrize(
    ("counted", "own", "limit"), [(True, True, "memory"), (True, False, "pressure"), (False, False, "pressure")]
)
def test_a_build_that_was_ended_for_what_all_builds_or_the_server_take_met_no_limit_of_its_own(
    monkeypatch: pytest.MonkeyPatch, counted: bool, own: bool, limit: str
) -> None:
    """The kernel counts what it kills itself in the unit's control group, and systemd-oomd's kills nowhere."""
    report = Report("1-x", UNIT, 1.0, False, None, "SIGKILL", "oom-kill", counted, False, "", limit_met=own)
    monkeypatch.setattr(exits, "last_of_unit", lambda box, unit: report)
    assert results._limit(cast(Any, None), WorkKind.BUILD, UNIT, KILLED) == limit
    reason = results.limit_reason("build", limit, results.Sizes(memory=512, tasks=1, seconds=1))
    assert ("so that apps did not have to wait" in reason) is (limit == "pressure")
