"""An installation's own settings and ranges."""

import itertools
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from slipway import settings as installed
from slipway.errors import Conflict, Invalid, Unavailable
from slipway.local import blocks, installation
from slipway.local.blocks import Block
from slipway.local.state import State
from slipway.settings import LAST_PORT, PORTS_PER_PLACE, Limits, Mode
from slipway.settings import Settings as SettingsType


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder with a name short enough for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="st-", dir="/tmp") as folder:
        yield Path(folder)


def make(short: Path, port: int | None = None) -> tuple[State, SettingsType]:
    state = State(short / "state")
    return state, installation.prepare(state, Mode.LOCAL, port)


def test_what_is_written_is_what_is_read(short: Path) -> None:
    state, settings = make(short)
    assert installed.load(state.settings) == settings


def test_the_second_time_changes_nothing(short: Path) -> None:
    state, settings = make(short)
    key = state.paths.key.read_bytes()
    assert installation.prepare(state, Mode.LOCAL, None) == settings
    assert state.paths.key.read_bytes() == key


def test_the_key_is_32_bytes_that_only_its_owner_reads(short: Path) -> None:
    state, _ = make(short)
    assert len(state.paths.key.read_bytes()) == 32
    assert state.paths.key.stat().st_mode & 0o777 == 0o600


def test_another_port_keeps_what_a_person_changed(short: Path) -> None:
    state, settings = make(short)
    text = state.settings.read_text().replace("builds_at_once = 2", "builds_at_once = 5")
    state.settings.write_text(text)
    moved = installation.prepare(state, Mode.LOCAL, 18999)
    assert (moved.http.port, moved.id, moved.limits) == (18999, settings.id, Limits(builds_at_once=5))


def test_a_taken_port_is_refused(short: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(Unavailable, match=f"listens on port {port}"):
            make(short, port)


def test_a_folder_made_as_root_is_not_taken_by_another_user(short: Path) -> None:
    state, _ = make(short)
    with pytest.raises(Conflict, match="made in local mode"):
        installation.prepare(state, Mode.SESSION, None)


def test_blocks_do_not_overlap_and_stay_below_the_ports_for_outgoing_connections() -> None:
    every = [Block(number).apps for number in range(blocks._BLOCKS)]
    for one, next_one in itertools.pairwise(every):
        assert one.first_port + one.places * PORTS_PER_PLACE <= next_one.first_port
        assert one.first_uid + one.uids <= next_one.first_uid
    assert every[-1].first_port + every[-1].places * PORTS_PER_PLACE - 1 <= LAST_PORT
    assert [blocks.of(apps).number for apps in every] == list(range(len(every)))


def test_a_block_in_which_something_listens_is_passed_over(short: Path) -> None:
    first = blocks.choose(short)
    with socket.create_server(("127.0.0.1", first.apps.first_port + 7)):
        assert blocks.choose(short) != first


@pytest.mark.parametrize("name", ["a b", "a%h", 'a"b', "a\nb", "a$b", "a;b"])
def test_a_state_folder_that_would_mean_something_in_a_unit_is_refused(short: Path, name: str) -> None:
    with pytest.raises(Invalid, match="unit files"):
        State(short / name)


def test_a_state_folder_too_long_for_sockets_is_refused() -> None:
    with pytest.raises(Invalid, match="too long"):
        State(Path("/tmp") / ("x" * 90))
