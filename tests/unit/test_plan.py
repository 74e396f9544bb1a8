"""A plan comes from where a user's commands ran: nothing in it is taken as it stands."""

from typing import Any

import msgspec
import pytest

from slipway.errors import Invalid
from slipway.plan import BuildOverrides, Plan, Step, check_command, check_relative_path, validate

FOLDER = "/srv/slipway/builds/12"
GOOD = Plan(
    stack="python",
    framework="Django",
    reasons=("because",),
    install=(Step("Install", argv=("true",)),),
    build=(Step("Build", command="make"),),
    processes={"web": "./serve"},
    release_command=None,
    public_folder=None,
    variables={"PATH": "/bin"},
    directory=f"{FOLDER}/app",
)


def test_a_good_plan_passes_and_survives_json() -> None:
    plan = msgspec.json.decode(msgspec.json.encode(GOOD), type=Plan)
    assert validate(plan, FOLDER) == GOOD


@pytest.mark.parametrize(
    "change",
    [
        {"processes": {"Web": "x"}},
        {"processes": {"web\n": "x"}},
        {"processes": {"../x": "x"}},
        {"processes": {"": "x"}},
        {"processes": {"web": ""}},
        {"processes": {"web": "a\nb"}},
        {"processes": {"web": "a\0b"}},
        {"processes": {"web": "x" * 4097}},
        {"processes": {"web": "ä" * 2049}},
        {"processes": {"web": "\ud800"}},
        {"processes": {f"p{number}": "x" for number in range(21)}},
        {"release_command": "a\nb"},
        {"release_command": " "},
        {"public_folder": "/etc"},
        {"public_folder": "app/dist"},
        {"public_folder": f"{FOLDER}/../13/app"},
        {"public_folder": f"{FOLDER}9/app"},
        {"public_folder": f"{FOLDER}/app\n/x"},
        {"directory": "/"},
        {"directory": f"{FOLDER}/app/../../13"},
        {"directory": f"{FOLDER}/{'x' * 2000}"},
        {"variables": {"A=B": "x"}},
        {"variables": {"A": "x\0"}},
        {"variables": {"A": "x" * 8193}},
        {"variables": {f"A{number}": "" for number in range(51)}},
        {"reasons": ("x",) * 51},
        {"reasons": ("x" * 1001,)},
        {"reasons": ("a\0b",)},
        {"reasons": ("\ud800",)},
        {"build": (Step("x", argv=("a\0b",)),)},
        {"install": (Step("Neither"),)},
        {"install": (Step("Both", argv=("x",), command="x"),)},
        {"install": (Step("x", command="true"),) * 21},
        {"build": (Step("Long", argv=("x" * 20000,)),)},
        {"health_path": "health"},
        {"health_path": "/a b"},
        {"health_path": "/a\r\nHost: x"},
        {"framework": "<script>"},
    ],
)
def test_a_hostile_plan_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        validate(msgspec.structs.replace(GOOD, **change), FOLDER)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("", ""),
        (".", ""),
        ("./", ""),
        ("web", "web"),
        ("./web/", "web"),
        ("a//b", "a/b"),
        ("a b/ä", "a b/ä"),
        ("..a", "..a"),
    ],
)
def test_relative_paths_are_kept_in_one_form(given: str, kept: str) -> None:
    assert check_relative_path(given) == kept


@pytest.mark.parametrize(
    "path", ["..", "../..", "a/../..", "/etc", "//etc", "a\nb", "a\0b", ".git", "a/.GIT/b", "x" * 1025, "\ud800"]
)
def test_paths_that_could_lead_out_are_refused_with_the_field(path: str) -> None:
    with pytest.raises(Invalid) as refused:
        check_relative_path(path, "base_directory")
    assert refused.value.field == "base_directory"


@pytest.mark.parametrize("command", ["", "  ", "a\nb", "a\rb", "a\0b", "x" * 4097])
def test_commands_of_more_than_a_line_are_refused(command: str) -> None:
    with pytest.raises(Invalid):
        check_command(command)


def test_overrides_are_checked_when_they_are_made() -> None:
    with pytest.raises(Invalid):
        BuildOverrides(start_command="a\nb")
    with pytest.raises(Invalid):
        BuildOverrides(public_folder="../x")
