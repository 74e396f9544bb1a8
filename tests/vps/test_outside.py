"""What strangers send to a server from outside: see tests/integration/security/test_outside.py."""

import pytest

from tests.integration.conftest import Box
from tests.integration.security.test_outside import *  # noqa: F403


@pytest.fixture(scope="module")
def tls_box(box: Box) -> Box:
    return box
