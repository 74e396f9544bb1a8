"""What is read of the operating system, and what others wrote there."""

from pathlib import Path

import msgspec
import pytest

from slipway import clock
from slipway.system.operating_system import Pending, Update, installs_updates, packages_of, read_pending


@pytest.mark.parametrize(
    ("dump", "installs"),
    [
        ("", False),
        ('APT::Periodic "";\nAPT::Periodic::Update-Package-Lists "1";\n', False),
        ('APT::Periodic::Unattended-Upgrade "1";\n', True),
        ('APT::Periodic::Unattended-Upgrade "0";\n', False),
        ('APT::Periodic::Unattended-Upgrade "7";\nAPT::Periodic::Enable "0";\n', False),
        ('APT::Periodic::Enable "1";\nAPT::Periodic::Unattended-Upgrade "always";\n', True),
    ],
)
def test_whether_apt_installs_updates_is_what_its_settings_say_together(dump: str, installs: bool) -> None:
    assert installs_updates(dump) == installs


def test_what_was_found_is_read_as_it_was_written(tmp_path: Path) -> None:
    pending = Pending(clock.now(), [Update("libssl3", "2", "1", security=True), Update("tzdata", "2", "1", False)])
    (tmp_path / "pending.json").write_bytes(msgspec.json.encode(pending))
    assert read_pending(tmp_path / "pending.json") == pending
    assert pending.security == 1


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"looked_at":1,"updates":2}', b"[" * 5_000_000])
def test_what_does_not_fit_counts_as_not_looked_for(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "pending.json").write_bytes(content)
    assert read_pending(tmp_path / "pending.json") is None
    assert read_pending(tmp_path / "missing.json") is None


def test_packages_that_want_a_reboot_are_named_once(tmp_path: Path) -> None:
    (tmp_path / "pkgs").write_text("linux-image-amd64\nlibc6\n\nlibc6\n")
    assert packages_of(tmp_path / "pkgs") == ["libc6", "linux-image-amd64"]
    assert packages_of(tmp_path / "none") == []
