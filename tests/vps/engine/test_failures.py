"""See tests/integration/deployments/test_failures.py."""

from tests.integration.deployments.test_failures import *  # noqa: F403
