import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.builds.builder_run import Workshop


@pytest.fixture
def workshop() -> Iterator[Workshop]:
    """Under a path that every user can walk: pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="slipway-builds-"))
    folder.chmod(0o755)
    yield Workshop(folder)
    shutil.rmtree(folder)
