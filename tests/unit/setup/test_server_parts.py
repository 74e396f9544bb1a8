"""What only a server has: folders after a boot, memory kept back, a certificate with a fingerprint."""

import re
from pathlib import Path

import pytest

from slipway.folders import FOLDERS
from slipway.setup import memory
from slipway.setup.folders import after_boot
from slipway.setup.templates import kept_back


def test_what_a_boot_empties_is_made_again_with_the_same_owners_and_modes() -> None:
    lines = after_boot().splitlines()[1:]
    wanted = [folder for folder in FOLDERS if folder.path.startswith("run/")]
    assert len(lines) == len(wanted) >= 5
    for line, folder in zip(lines, wanted, strict=True):
        assert re.fullmatch(rf"d /{folder.path} {folder.mode:04o} {folder.owner} {folder.group} -", line)


@pytest.mark.parametrize(("memory", "kept"), [(512, 200), (1024, 204), (4096, 819), (65536, 1024)])
def test_a_part_of_the_memory_is_no_apps(memory: int, kept: int) -> None:
    assert kept_back(memory) == kept


def test_memory_is_what_the_kernel_tells_in_kilobytes(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:        1001216 kB\nMemFree:          99999 kB\nSwapTotal: 2048 kB\n")
    assert memory.total(tmp_path / "meminfo") == 977
    assert memory.swap(tmp_path / "meminfo") == 2
    assert memory.total() > 100
