"""Every verb and every write of a deployment, failing in every way (tests/integration/deployments/test_faults.py)."""

import pytest

from tests.integration.deployments.faults import Faults
from tests.integration.deployments.helpers import Deployable
from tests.integration.deployments.test_faults import VERB_FAULTS, WRITE_FAULTS, app, every, faults

__all__ = ["app", "faults"]


@pytest.mark.parametrize("how", VERB_FAULTS)
def test_a_deployment_settles_whichever_verb_fails(app: Deployable, faults: Faults, how: str) -> None:
    every(app, faults, "verb", (how,))


@pytest.mark.parametrize("how", WRITE_FAULTS)
def test_a_deployment_settles_whichever_write_fails(app: Deployable, faults: Faults, how: str) -> None:
    every(app, faults, "write", (how,))
