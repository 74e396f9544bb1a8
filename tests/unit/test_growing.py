"""Following a file that grows and is rotated."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from slipway.growing import LONGEST_LINE, GrowingFile, Position

MOST = 8 * LONGEST_LINE


def everything(file: GrowingFile) -> list[bytes]:
    """What there is, with the looks that a rotation takes."""
    found: list[bytes] = []
    quiet = 0
    while quiet < 3:
        lines = file.read(MOST)
        found += lines
        quiet = 0 if lines else quiet + 1
    return found


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "access.log"
    path.write_text("old\n")
    return path


Open = Callable[..., GrowingFile]


@pytest.fixture
def follow(path: Path) -> Iterator[Open]:
    opened: list[GrowingFile] = []

    def follow(start: Position | None = None) -> GrowingFile:
        opened.append(GrowingFile(path, start))
        return opened[-1]

    yield follow
    for file in opened:
        file.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def rotate(path: Path) -> Path:
    """As logrotate does: away, and a new one in its place."""
    away = path.with_name("access.log.1")
    path.rename(away)
    path.touch()
    return away


def test_it_begins_at_the_end_and_gives_each_line_once(path: Path, follow: Open) -> None:
    file = follow()
    assert file.read(MOST) == []
    append(path, "one\ntwo\n")
    assert file.read(MOST) == [b"one", b"two"]
    assert file.read(MOST) == []


def test_a_line_that_is_not_finished_waits_and_is_not_passed_by_the_position(path: Path, follow: Open) -> None:
    file = follow()
    file.read(MOST)
    append(path, "one\ntor")
    assert file.read(MOST) == [b"one"]
    again = follow(file.position)
    append(path, "n\n")
    assert file.read(MOST) == [b"torn"]
    assert again.read(MOST) == [b"torn"]


def test_a_rotated_file_is_read_to_its_end_before_the_new_one(path: Path, follow: Open) -> None:
    file = follow()
    file.read(MOST)
    append(path, "one\n")
    away = rotate(path)
    append(path, "three\n")
    assert file.read(MOST) == [b"one"]
    assert file.read(MOST) == [], "its writer may not have gone to the new one yet"
    append(away, "two\n")
    assert everything(file) == [b"two", b"three"]


def test_reading_goes_on_in_the_file_of_before_though_it_was_rotated_away_meanwhile(path: Path, follow: Open) -> None:
    file = follow()
    append(path, "before\n")
    file.read(MOST)
    position = file.position
    append(path, "one\n")
    rotate(path)
    append(path, "two\n")
    assert everything(follow(position)) == [b"one", b"two"]


def test_where_the_file_of_before_is_gone_reading_begins_with_the_one_that_grows(path: Path, follow: Open) -> None:
    assert everything(follow(Position(1, 4000))) == [b"old"]


def test_a_file_that_was_emptied_in_place_is_read_from_its_beginning(path: Path, follow: Open) -> None:
    file = follow()
    append(path, "one\n")
    everything(file)
    path.write_text("")
    everything(file)
    append(path, "two\n")
    assert everything(file) == [b"two"]


def test_a_line_without_an_end_takes_no_memory_and_hides_no_other(path: Path, follow: Open) -> None:
    file = follow()
    file.read(MOST)
    append(path, "x" * (LONGEST_LINE + 1))
    assert file.read(MOST) == []
    append(path, "x" * 100 + "\nnext\n")
    assert file.read(MOST) == [b"next"]


def test_it_can_leave_out_what_is_there(path: Path, follow: Open) -> None:
    file = follow(Position(path.stat().st_ino, 0))
    append(path, "many\n" * 1000)
    assert file.read(10) == [b"old", b"many"]
    assert file.behind() > 4000
    file.skip()
    append(path, "new\n")
    assert everything(file) == [b"new"]
