"""Cookies, tokens, cursors, fields, events: what needs no server."""

import json
from typing import Annotated

import msgspec
import pytest

from slipway.apps.models import EnvironmentSettings
from slipway.errors import Invalid
from slipway.settings import Http, Installation, Mode, Settings
from slipway.web.csrf import token_for
from slipway.web.fields import wrong_fields
from slipway.web.pagination import decode_cursor, encode_cursor, page
from slipway.web.server import inherited_sockets
from slipway.web.sessions import cookie_name, no_cookie, session_cookie
from slipway.web.streams import encode_event, resume_after


def _settings(tls: bool) -> Settings:
    return Settings(Installation("test", Mode.LOCAL), Http(8080, tls=tls))


@pytest.mark.parametrize("tls", [True, False])
def test_the_cookie_is_bound_as_tightly_as_the_scheme_allows(tls: bool) -> None:
    header = session_cookie(_settings(tls), "secret").to_header(header="")
    assert header.startswith("__Host-slipway=secret" if tls else "slipway-local=secret")
    assert ("Secure" in header) == tls
    for attribute in ("HttpOnly", "SameSite=lax", "Path=/"):
        assert attribute in header
    assert "Domain" not in header
    assert "Max-Age=0" in no_cookie(_settings(tls)).to_header(header="")
    assert cookie_name(_settings(True)) != cookie_name(_settings(False))


def test_a_sessions_csrf_token_is_its_own_and_does_not_tell_the_session() -> None:
    assert token_for("a") == token_for("a") != token_for("b")
    assert "session" not in token_for("session")


@pytest.mark.parametrize("key", ["blog", "", "ä😀", 0, 7, 2**62])
def test_a_cursor_gives_back_what_it_was_made_of(key: str | int) -> None:
    assert decode_cursor(encode_cursor(key), type(key)) == key


@pytest.mark.parametrize("cursor", ["!", "a", "Zm9v", "IiI", encode_cursor("text"), "e30",
                                    encode_cursor(2**63), encode_cursor(-1)])  # fmt: skip
def test_a_cursor_that_was_not_given_out_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid) as refused:
        decode_cursor(cursor, int)
    assert refused.value.field == "cursor"


def test_a_cursor_with_a_character_that_no_key_has_is_refused() -> None:
    with pytest.raises(Invalid):
        decode_cursor(encode_cursor("a\0"), str)


def test_a_page_has_a_next_one_only_where_there_is_more() -> None:
    assert page([1, 2, 3], 2, lambda n: n).items == [1, 2]
    assert decode_cursor(page([1, 2, 3], 2, lambda n: n).next, int) == 2
    assert page([1, 2], 2, lambda n: n).next is None
    assert page([], 2, lambda n: n).next is None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(min_length=2)]
    count: int
    note: str = ""


def test_every_wrong_field_is_found() -> None:
    found = wrong_fields(b'{"name": "x", "note": 1, "colour": 2}', Body)
    assert [error.field for error in found] == ["name", "count", "note", "colour"]
    assert wrong_fields(b'{"name": "xy", "count": 1}', Body) == []


def test_what_a_field_must_be_is_said_in_words() -> None:
    wrong = {"memory": "abc", "stop_then_start": 1, "build_command": 5, "health_path": "up", "tasks": None}
    assert {one.field: one.message for one in wrong_fields(json.dumps(wrong).encode(), EnvironmentSettings)} == {
        "memory": "Must be a whole number from 16 to 1048576.",
        "stop_then_start": "Must be true or false.",
        "build_command": "Must be text of at most 4096 characters.",
        "health_path": "Must begin with / and hold no spaces; plain ASCII, at most 1024 characters.",
        "tasks": "Must be a whole number from 4 to 65536.",
    }


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object_has_no_fields(body: bytes) -> None:
    assert wrong_fields(body, Body) == []


def test_an_event_is_one_line_of_json_whatever_it_says() -> None:
    event = encode_event("line", {"text": "a\nb\r\n\ndata: c\u2028"}, 7).decode()
    assert event.startswith("event: line\r\nid: 7\r\ndata: {")
    assert event.endswith("}\r\n\r\n")
    assert event.count("\r\n") == 4
    assert event.replace("\r\n", "").count("\n") == 0


def test_a_stream_is_resumed_by_a_number_and_nothing_else() -> None:
    assert (resume_after(None), resume_after(""), resume_after("12")) == (0, 0, 12)
    for wrong in ("-1", "1.0", "x", "٣", "1" * 13):
        with pytest.raises(Invalid):
            resume_after(wrong)


def test_sockets_handed_to_another_process_are_left_alone() -> None:
    handed = {"LISTEN_PID": "1", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:admin"}
    assert inherited_sockets(handed, pid=2) == {}
    assert inherited_sockets({}, pid=2) == {}


def test_sockets_without_names_are_refused() -> None:
    with pytest.raises(Invalid):
        inherited_sockets({"LISTEN_PID": "2", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web"}, pid=2)
