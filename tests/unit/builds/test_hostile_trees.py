"""Trees made to hurt: what is read is bounded, and stays inside."""

import os
from pathlib import Path

import pytest

from slipway.builds.detect import python_objects
from slipway.builds.detect.detection import detect
from slipway.builds.detect.findings import Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree
from slipway.plan import BuildOverrides, validate

TOOLS = Tools("/usr/bin/python3", "/opt/uv", "/usr/bin/node", "/usr/bin/npm")


def look(folder: Path) -> None:
    detect(Tree(folder), Places("/build", "/build/app", "/cache"), TOOLS, BuildOverrides())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"{", "package.json is not JSON: line 1"),
        (b"[]", "must hold a JSON object"),
        (b"\xff\xfe{", "not a UTF-8 text file"),
        (b" " * (50 * 1024 * 1024), "larger than 1024 KiB"),
        (b"[" * 200_000, "nested too deeply"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"x": ' + b"1" * 5000 + b"}", "not JSON that can be read"),
    ],
)
def test_a_package_json_that_cannot_be_read_is_refused_in_plain_words(
    tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "package.json").write_bytes(content)
    with pytest.raises(CannotBuild) as refused:
        look(tmp_path)
    assert says in refused.value.message


@pytest.mark.parametrize("value", ["1", "[]", '"x"', "null", "{}", '{"start": 5, "build": null}'])
@pytest.mark.parametrize("field", ["scripts", "dependencies", "devDependencies", "main", "packageManager", "engines"])
def test_fields_of_the_wrong_type_are_taken_as_absent(tmp_path: Path, field: str, value: str) -> None:
    (tmp_path / "package.json").write_text(f'{{"{field}": {value}}}')
    (tmp_path / "server.js").touch()
    look(tmp_path)


@pytest.mark.parametrize("name", ["Procfile", "requirements.txt", "package.json", "pyproject.toml"])
def test_a_link_that_leads_out_counts_as_absent(tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("web: secret\n")
    inside = tmp_path / "tree"
    inside.mkdir()
    (inside / name).symlink_to(outside)
    with pytest.raises(CannotBuild, match="Nothing here says how to run it"):
        look(inside)


def test_a_link_within_the_tree_is_followed(tmp_path: Path) -> None:
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "Procfile").write_text("web: ./x")
    (tmp_path / "Procfile").symlink_to("deploy/Procfile")
    look(tmp_path)


@pytest.mark.parametrize("target", ["/etc", "..", "loop", "/proc/self/root"])
def test_a_base_directory_that_is_a_link_out_is_refused(tmp_path: Path, target: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "loop").symlink_to(target)
    with pytest.raises(CannotBuild, match=r"leads out|no folder"):
        Tree(tmp_path / "tree", "loop")


def test_a_base_directory_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CannotBuild, match="There is no folder web/app in this commit"):
        Tree(tmp_path, "web/app")


def test_a_pipe_and_a_device_are_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "Procfile")
    (tmp_path / "index.html").touch()
    look(tmp_path)


def test_a_folder_named_like_a_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "Procfile").mkdir()
    (tmp_path / "package.json").mkdir()
    (tmp_path / "index.html").touch()
    look(tmp_path)


@pytest.mark.parametrize(
    "source", ["(" * 100_000, "-" * 100_000 + "1", "x = [" * 5000, "a." * 100_000, "\0", "def f(:"]
)
def test_python_that_cannot_be_parsed_holds_no_app(tmp_path: Path, source: str) -> None:
    (tmp_path / "app.py").write_text(source)
    assert python_objects.find(Tree(tmp_path)) is None


def test_what_foreign_files_say_is_repeated_without_control_characters(tmp_path: Path) -> None:
    script = r"vite build\u0000\u001b[31m\n\ud800"
    (tmp_path / "package.json").write_text(f'{{"scripts": {{"build": "{script}"}}, "main": "x.js"}}')
    (tmp_path / "x.js").touch()
    places = Places("/build", "/build/app", "/cache")
    plan = detect(Tree(tmp_path), places, TOOLS, BuildOverrides()).plan(places, None)
    assert validate(plan, "/build") == plan
    assert all(reason.isprintable() for reason in plan.reasons)


def test_source_is_read_and_never_run(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "app.py").write_text(f"open({str(canary)!r}, 'w')\nfrom flask import Flask\napp = Flask(__name__)")
    (tmp_path / "requirements.txt").write_text("flask")
    look(tmp_path)
    assert not canary.exists()


def test_folders_with_evil_names_reach_no_command_line(tmp_path: Path) -> None:
    for name in ("$(id)", "a;b", "a b", "--help", "a\nb", "ä"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("app = Flask(1)")
    assert python_objects.find(Tree(tmp_path)) is None


def test_a_folder_with_very_many_files_is_looked_at_in_part(tmp_path: Path) -> None:
    for number in range(2500):
        (tmp_path / f"{number}.txt").touch()
    assert len(Tree(tmp_path).names()) == 2000
