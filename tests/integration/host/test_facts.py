"""Facts about systemd that the host agent stands on. Where one stops being true, this says so first."""

import uuid
from collections.abc import Iterator

import pytest
from tests.integration.conftest import Box

FOLDER = "/etc/systemd/user"
UNIT = "[Service]\nType=oneshot\nRemainAfterExit=yes\nMemoryMax={memory}M\nExecStart=/bin/true\n"


def put(box: Box, unit: str, memory: int) -> None:
    script = f"import pathlib; pathlib.Path('{FOLDER}/{unit}').write_text({UNIT.format(memory=memory)!r})"
    assert box.enter("/usr/bin/python3", "-c", script).returncode == 0


def show(box: Box, unit: str, name: str) -> str:
    return box.systemctl("show", "--value", f"--property={name}", unit).stdout.strip()


@pytest.fixture
def unit(box: Box) -> Iterator[str]:
    name = f"fact-{uuid.uuid4().hex[:8]}.service"
    yield name
    box.systemctl("stop", name)
    box.enter("rm", "-f", f"{FOLDER}/{name}")


def test_a_freshly_named_unit_file_starts_without_a_reload(box: Box, unit: str) -> None:
    put(box, unit, memory=64)
    started = box.systemctl("start", unit)
    assert started.returncode == 0, started.stderr
    assert show(box, unit, "ActiveState") == "active"
    assert show(box, unit, "MemoryMax") == str(64 * 2**20)


def test_a_file_that_changes_under_a_running_unit_is_not_what_runs(box: Box, unit: str) -> None:
    """Why unit files are never edited in place."""
    put(box, unit, memory=64)
    box.systemctl("start", unit)
    put(box, unit, memory=128)
    assert show(box, unit, "MemoryMax") == str(64 * 2**20)
