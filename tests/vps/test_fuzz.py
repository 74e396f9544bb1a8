"""The daemon's user, taken over, against the agent of a server: see tests/integration/host/test_fuzz.py."""

from tests.integration.host.conftest import environment, rig
from tests.integration.host.test_fuzz import *  # noqa: F403

__all__ = ["environment", "rig"]
