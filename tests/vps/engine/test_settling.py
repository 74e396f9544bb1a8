"""What dies in each phase of a deployment (tests/integration/deployments/test_settling.py), and power cuts beside."""

import pytest

from tests.integration.deployments.faults import Faults
from tests.integration.deployments.helpers import Deployable
from tests.integration.deployments.test_faults import stands_between
from tests.integration.deployments.test_settling import *  # noqa: F403
from tests.integration.deployments.test_settling import PHASES, is_settled, settles
from tests.vps.boxes import OnServer


@pytest.mark.parametrize("phase", PHASES)
def test_a_power_cut_in_each_phase_is_settled(app: Deployable, box: OnServer, phase: str) -> None:
    before = app.live()
    app.repository.commit({"change": "power" + phase})
    number = app.request()
    app.wait_for_state(number, PHASES[PHASES.index(phase) :])
    box.does(f"power cut while it is {phase}")
    box.server.cut_power()
    is_settled(app, number, before)


def test_a_power_cut_between_the_rename_and_its_commit_is_settled(app: Deployable, box: OnServer) -> None:
    before = app.live()
    app.repository.commit({"change": "between"})
    faults = Faults(box)
    try:
        number = stands_between(app, faults)
        box.does("power cut after the route marker was renamed, before the database was told")
        box.server.cut_power()
        ended = settles(app, number, before)
        box.notes(f"it is {ended['state']}: {ended['reason'] or 'the switch was made again'}")
    finally:
        faults.end()
