"""Every string of every verb refuses what is hostile, before anything acts on it."""

import json
from typing import Any

import msgspec
import pytest

from slipway.host.agent.server import HANDLERS, about, lock_name
from slipway.host.protocol import (
    Key,
    PutRelease,
    PutSite,
    Request,
    StartInstances,
    StopInstances,
    Verb,
    Watch,
)

WANTED: dict[str, Any] = {"environment": 1, "place": 1, "generation": 1, "route": 0}
HOSTILE = [
    "a;b", "$(id)", "a\nb", "a\0b", "-x", "--upload-pack=id", "'", '"', "{{ 1 }}", "../x", "a b", "%n", "", "ü",
]  # fmt: skip
DECODER: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Request)
INSTANCES = {
    "verb": "start-instances", "environment": 1, "place": 1, "generation": 1, "release": 1, "release_generation": 1,
    "slot": 1, "build": 1, "process": "web", "count": 1, "limits": {},
}  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (INSTANCES, "process"),
        ({"verb": "stop-instances", "environment": 1, "generation": 1, "process": "web"}, "process"),
        ({"verb": "stop-instances", "environment": 1, "generation": 1, "but_process": "web"}, "but_process"),
        ({"verb": "put-site", "environment": 1, "place": 1, "hostnames": ["a.b"], "static": False}, "hostnames"),
        ({"verb": "start-fetch", "id": 1, "app": 1, "repository": "r", "branch": "b", "commit": "0" * 40}, "commit"),
        ({"verb": "find-work", "kind": "build", "id": 1}, "kind"),
        ({"verb": "find-work", "kind": "build", "id": 1}, "verb"),
    ],
)
def test_a_hostile_string_is_refused_by_the_protocol_itself(text: str, request_: dict[str, Any], field: str) -> None:
    assert DECODER.decode(json.dumps(request_).encode())
    value: object = [text] if field == "hostnames" else text
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(json.dumps(request_ | {field: value}).encode())


@pytest.mark.parametrize("verb", ["compare", "mend"])
@pytest.mark.parametrize("text", HOSTILE)
def test_what_should_be_holds_no_hostile_string_either(verb: str, text: str) -> None:
    slot = {"number": 1, "release": 1, "generation": 1, "build": 1, "live": True, "limits": {}, "stop_seconds": 1}
    good = WANTED | {"hostnames": ["a.b"], "slots": [slot | {"counts": {"web": 1}}]}
    assert DECODER.decode(json.dumps({"verb": verb, "environments": [good]}).encode())
    for bad in (
        WANTED | {"hostnames": [text]},
        WANTED | {"slots": [slot | {"counts": {text: 1}}]},
        WANTED | {"route": text},
        WANTED | {"path": text},
    ):
        with pytest.raises(msgspec.ValidationError):
            DECODER.decode(json.dumps({"verb": verb, "environments": [bad]}).encode())


@pytest.mark.parametrize("number", [0, -1, 2**60, "1", 1.5, None, True, [1]])
def test_a_number_that_is_no_id_is_refused(number: object) -> None:
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(json.dumps(INSTANCES | {"environment": number}).encode())


def test_a_field_that_the_protocol_does_not_know_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        DECODER.decode(json.dumps(INSTANCES | {"command": "id"}).encode())


def test_every_verb_has_one_handler() -> None:
    verbs = set(Request.__args__) - {Watch}  # type: ignore[attr-defined]
    assert verbs == set(HANDLERS)


def test_a_log_line_holds_numbers_and_no_value_of_a_variable() -> None:
    fields = DECODER.decode(
        json.dumps(
            {
                "verb": "put-release", "environment": 1, "release": 2, "generation": 3, "build": 4,
                "plan": {
                    "stack": "procfile", "framework": None, "reasons": [], "install": [], "build": [],
                    "processes": {}, "release_command": None, "public_folder": None, "variables": {}, "directory": "/x",
                },
                "processes": {"web": "command-secret"}, "variables": {"A": "value-secret"},
            }
        ).encode()
    )  # fmt: skip
    assert isinstance(fields, PutRelease)
    assert about(fields) == {"environment": 1, "release": 2, "generation": 3, "build": 4}
    assert "secret" not in repr(Key(b"secret"))


def test_an_environment_is_locked_by_what_changes_it_and_not_by_looking() -> None:
    verbs: list[Verb] = [
        DECODER.decode(json.dumps(INSTANCES).encode()),
        StopInstances(1, 1),
        PutSite(1, 1, ("a",), False),
    ]
    assert {lock_name(verb) for verb in verbs} == {"environment 1"}
    assert isinstance(verbs[0], StartInstances)
