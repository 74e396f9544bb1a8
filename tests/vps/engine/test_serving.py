"""See tests/integration/deployments/test_serving.py."""

from tests.integration.deployments.test_serving import *  # noqa: F403
