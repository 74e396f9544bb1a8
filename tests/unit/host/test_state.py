"""The agent's memory: generations fence, and a user id is given out once in the life of a machine."""

from pathlib import Path

import pytest

from slipway.errors import HostRefused, Invalid
from slipway.host.agent.state import Environment, State


def test_a_generation_that_was_seen_fences_older_ones_even_after_a_restart(tmp_path: Path) -> None:
    State(tmp_path, 30000, 100).put(Environment(1, 1, 0, 0))
    State(tmp_path, 30000, 100).fence(1, 5)
    again = State(tmp_path, 30000, 100)
    again.fence(1, 5)
    with pytest.raises(HostRefused) as refused:
        again.fence(1, 4)
    assert refused.value.reason == "stale"


def test_user_ids_begin_after_the_system_users_and_are_never_given_twice(tmp_path: Path) -> None:
    assert list(State(tmp_path, 30000, 100).take_uids(2)) == [30010, 30011]
    state = State(tmp_path, 30000, 100)
    state.put(Environment(1, 1, 30010, 30011))
    state.forget(1)
    assert list(state.take_uids(2)) == [30012, 30013]


def test_running_out_of_user_ids_is_said(tmp_path: Path) -> None:
    state = State(tmp_path, 30000, 12)
    state.take_uids(2)
    with pytest.raises(HostRefused, match="larger range"):
        state.take_uids(2)


def test_an_environment_that_was_never_prepared_can_do_nothing(tmp_path: Path) -> None:
    with pytest.raises(HostRefused, match="prepare it first"):
        State(tmp_path, 30000, 100).fence(1, 1)


def test_a_damaged_file_is_told_and_not_taken_for_none(tmp_path: Path) -> None:
    state = State(tmp_path, 30000, 100)
    (tmp_path / "environments/1.json").write_text("{")
    with pytest.raises(Invalid, match="damaged"):
        state.find(1)
