"""See tests/integration/deployments/test_cancelling.py."""

from tests.integration.deployments.test_cancelling import *  # noqa: F403
