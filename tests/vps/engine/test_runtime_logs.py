"""See tests/integration/deployments/test_runtime_logs.py."""

from tests.integration.deployments.test_runtime_logs import *  # noqa: F403
