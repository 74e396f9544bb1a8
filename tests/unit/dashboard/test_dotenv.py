"""A pasted .env file."""

import pytest

from slipway.dashboard.dotenv import parse_dotenv
from slipway.errors import Invalid


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("", {}),
        ("# only a comment\n\n", {}),
        ("A=1\nB=2", {"A": "1", "B": "2"}),
        ("export A = spaced out ", {"A": "spaced out"}),
        ("A=", {"A": ""}),
        ("A=1\nA=2\n", {"A": "2"}),
        ("URL=postgres://u:p@h/d?x=1#frag", {"URL": "postgres://u:p@h/d?x=1#frag"}),
        ("A=value # why\n", {"A": "value"}),
        ("A='$HOME \\n # kept'\n", {"A": "$HOME \\n # kept"}),
        ('A="one\\ntwo \\"three\\" \\$x" # why', {"A": 'one\ntwo "three" $x'}),
        ('KEY="-----BEGIN-----\nabc\n-----END-----"\nB=1', {"KEY": "-----BEGIN-----\nabc\n-----END-----", "B": "1"}),
        ("A=$(touch /tmp/canary) `id`", {"A": "$(touch /tmp/canary) `id`"}),
    ],
)
def test_a_file_is_read_as_its_writer_means_it(text: str, values: dict[str, str]) -> None:
    assert parse_dotenv(text) == values


@pytest.mark.parametrize("text", ["A=1\nnot an assignment", 'A=1\nB="open', "A=1\nB='x' y", "A=1\n=2"])
def test_what_cannot_be_read_is_told_with_its_line(text: str) -> None:
    with pytest.raises(Invalid, match="Line 2 "):
        parse_dotenv(text)
