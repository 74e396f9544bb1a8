"""See tests/integration/deployments/test_releases.py."""

from tests.integration.deployments.test_releases import *  # noqa: F403
