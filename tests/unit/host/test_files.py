"""Files are written whole, and what a stranger wrote is read without following him anywhere."""

import os
from pathlib import Path

import pytest

from slipway.errors import Invalid
from slipway.host.agent import files


def test_a_file_is_replaced_whole_with_its_mode(tmp_path: Path) -> None:
    files.write(tmp_path / "a", "one")
    files.write(tmp_path / "a", b"two", mode=0o640)
    assert (tmp_path / "a").read_text() == "two"
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["a"]


def test_a_link_is_replaced_by_one_rename(tmp_path: Path) -> None:
    files.link(tmp_path / "l", "one")
    files.link(tmp_path / "l", "two")
    assert os.readlink(tmp_path / "l") == "two"


def test_a_strangers_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner/result").write_bytes(b"x" * 100)
    assert files.read_hostile(tmp_path, "inner", "result", limit=100) == b"x" * 100
    with pytest.raises(Invalid, match="larger"):
        files.read_hostile(tmp_path, "inner", "result", limit=99)


def test_links_pipes_and_folders_of_a_stranger_are_not_followed_or_waited_for(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/etc/passwd")
    (tmp_path / "way").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for names in (("link",), ("way", "passwd"), ("pipe",), ("folder",)):
        with pytest.raises(Invalid):
            files.read_hostile(tmp_path, *names, limit=1000)
    with pytest.raises(FileNotFoundError):
        files.read_hostile(tmp_path, "absent", limit=1000)


def test_a_folder_behind_a_link_is_not_made_or_changed(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("real")
    with pytest.raises(OSError, match="link"):
        files.make_folder(tmp_path / "link", mode=0o777)
    assert (tmp_path / "real").stat().st_mode & 0o777 == 0o700


def test_what_a_killed_writer_left_is_swept_away_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "inner").mkdir()
    kept = (tmp_path / "inner/11.json", tmp_path / ".hidden", tmp_path / ".11.json.other")
    for file in kept:
        files.write(file, "kept")
    with monkeypatch.context() as death:
        death.setattr(os, "rename", killed)
        death.setattr(Path, "unlink", lambda *_, **__: None)  # a kill -9 cleans nothing up
        for end in (lambda: files.write(tmp_path / "inner/11.json", "secret"), lambda: files.link(tmp_path / "1", "/")):
            with pytest.raises(KeyboardInterrupt):
                end()
    assert len(list(tmp_path.rglob("*"))) == len(kept) + 3
    files.sweep(tmp_path, prefix="other")
    assert len(list(tmp_path.rglob("*"))) == len(kept) + 3
    files.sweep(tmp_path)
    assert {path for path in tmp_path.rglob("*") if path.is_file() or path.is_symlink()} == set(kept)
