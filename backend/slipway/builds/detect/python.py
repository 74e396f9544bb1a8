"""Python apps: where their requirements stand, and how those are installed into a virtual environment."""

import re
from typing import Any

from slipway.builds.detect import python_web
from slipway.builds.detect.findings import Findings, Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree, string, table
from slipway.plan import Step

MARKERS = ("requirements.txt", "pyproject.toml", "uv.lock", "Pipfile", "manage.py")
_NAME = re.compile(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)")
_INCLUDE = re.compile(r"\s*(?:-r|--requirement)[ =]\s*(\S+)")
_VERSION = re.compile(r"\d+(?:\.\d+){0,2}", re.ASCII)
_SPECIFIER = re.compile(r"[0-9<>=!~.,* ]{1,100}", re.ASCII)
_MAX_INCLUDES = 20


def is_python(tree: Tree) -> bool:
    return tree.first_file(*MARKERS) is not None and _is_an_app(tree)


def _is_an_app(tree: Tree) -> bool:
    """A pyproject.toml that only configures tools makes no Python app."""
    if tree.first_file("requirements.txt", "uv.lock", "Pipfile", "manage.py"):
        return True
    project = tree.toml("pyproject.toml") or {}
    return bool("project" in project or "build-system" in project or table(project.get("tool")).get("poetry"))


def find(tree: Tree, places: Places, tools: Tools, findings: Findings, *, wants_pip: bool, wants_web: bool) -> None:
    """Add how the app is installed and, if `wants_web`, served. `wants_pip`: a person's own command may call it."""
    findings.stack = "python"
    findings.variables |= {"VIRTUAL_ENV": places.venv, "PYTHONUNBUFFERED": "1"}
    findings.paths.append(f"{places.venv}/bin")
    installer = Installer(places, tools)
    findings.prepare.append(installer.make_venv(_wanted_version(tree, findings), with_pip=wants_pip))
    declared = _find_requirements(tree, installer, findings)
    python_web.find(tree, declared, installer.install_packages, places, findings, wants_web=wants_web)


class Installer:
    """The argv of each thing that is installed: by uv, or by pip where uv is absent."""

    def __init__(self, places: Places, tools: Tools) -> None:
        if tools.python is None and tools.uv is None:
            raise CannotBuild(
                "This is a Python app, and the server has no Python. Install it: apt install python3-venv."
            )
        self._venv = places.venv
        self._uv = tools.uv
        self._python = tools.python

    def make_venv(self, version: str | None, *, with_pip: bool) -> Step:
        """`version` is a request such as `3.12` or `>=3.10`; None takes the system's Python."""
        if self._uv is None:
            return Step("Make a virtual environment", (str(self._python), "-m", "venv", self._venv))
        request = version or self._python or "3"
        seed = ("--seed",) if with_pip else ()
        return Step("Make a virtual environment", (
            self._uv, "venv", "--quiet", "--no-project", "--python-preference", "system", "--python", request,
            *seed, self._venv,
        ))  # fmt: skip

    def install_requirements(self, name: str) -> Step:
        return Step(f"Install {name}", (*self._pip(), "-r", name))

    def install_project(self) -> Step:
        """Editable: the checkout never changes, and templates beside the code stay where the code looks for them."""
        return Step("Install the project", (*self._pip(), "--editable", "."))

    def sync(self) -> Step:
        if self._uv is None:
            raise CannotBuild(
                "There is a uv.lock, and the server has no uv. "
                "Commit a requirements.txt: `uv export -o requirements.txt`."
            )
        return Step("Install uv.lock", (self._uv, "sync", "--frozen", "--no-dev"))

    def install_packages(self, *packages: str) -> Step:
        return Step(f"Install {', '.join(packages)}", (*self._pip(), *packages))

    def _pip(self) -> tuple[str, ...]:
        if self._uv is None:
            return (f"{self._venv}/bin/python", "-m", "pip", "install", "--disable-pip-version-check")
        return (self._uv, "pip", "install", "--python", f"{self._venv}/bin/python")


def _wanted_version(tree: Tree, findings: Findings) -> str | None:
    """Which Python the app asks for, if it does."""
    pinned = _VERSION.match((tree.text_if_readable(".python-version").strip().splitlines() or [""])[0].strip())
    if pinned:
        findings.reasons.append(f"Python {pinned[0]}: .python-version asks for it")
        return pinned[0]
    heroku = re.match(rf"python-({_VERSION.pattern})\s*$", tree.text_if_readable("runtime.txt"), re.ASCII)
    if heroku:
        findings.reasons.append(f"Python {heroku[1]}: runtime.txt asks for it")
        return heroku[1]
    wanted = string(table((tree.toml("pyproject.toml") or {}).get("project")).get("requires-python"))
    if wanted and _SPECIFIER.fullmatch(wanted):
        findings.reasons.append(f"Python {wanted}: pyproject.toml asks for it")
        return wanted.replace(" ", "")
    return None


def _find_requirements(tree: Tree, installer: Installer, findings: Findings) -> set[str]:
    """Add the install step. Gives the names of the packages that the app asks for, in lower case with `-`."""
    project = tree.toml("pyproject.toml") or {}
    if tree.has_file("uv.lock") and "project" in project:
        findings.reasons.append("Python app: uv.lock is there")
        findings.install.append(installer.sync())
        return _names_in_lock(tree) | _names_in_project(project)
    if tree.has_file("requirements.txt"):
        findings.reasons.append("Python app: requirements.txt is there")
        findings.install.append(installer.install_requirements("requirements.txt"))
        return _names_in_requirements(tree, "requirements.txt")
    if "build-system" in project:
        _refuse_poetry_without_package(project)
        findings.reasons.append("Python app: pyproject.toml is there, with a build system")
        findings.install.append(installer.install_project())
        return _names_in_project(project)
    if "project" in project:
        findings.reasons.append("Python app: pyproject.toml is there")
        findings.install.append(installer.install_requirements("pyproject.toml"))
        return _names_in_project(project)
    if table(project.get("tool")).get("poetry"):
        raise CannotBuild(_POETRY)
    if tree.has_file("Pipfile"):
        raise CannotBuild(
            "Pipfile is not supported. Write its packages into a requirements.txt and commit that: "
            "`pipenv requirements > requirements.txt`."
        )
    findings.reasons.append("Python app: manage.py is there")
    return set()


_POETRY = (
    "pyproject.toml has Poetry's own table and nothing that other tools can install. Move its packages to the standard "
    "[project] table (Poetry 2 reads it), or commit a requirements.txt: `poetry export -o requirements.txt`."
)


def _refuse_poetry_without_package(project: dict[str, Any]) -> None:
    poetry = table(table(project.get("tool")).get("poetry"))
    if "project" not in project and poetry.get("package-mode") is False:
        raise CannotBuild(_POETRY)


def _names_in_requirements(tree: Tree, first: str) -> set[str]:
    """The packages of a requirements file and of those that it includes."""
    names: set[str] = set()
    waiting, seen = [first], set[str]()
    while waiting and len(seen) < _MAX_INCLUDES:
        file = waiting.pop()
        if file in seen:
            continue
        seen.add(file)
        for line in tree.text_if_readable(file).splitlines():
            if include := _INCLUDE.match(line):
                waiting.append(f"{file.rpartition('/')[0]}/{include[1]}".lstrip("/"))
            elif name := _NAME.match(line):
                names.add(_normal(name[1]))
    return names


def _names_in_project(project: dict[str, Any]) -> set[str]:
    listed = table(project.get("project")).get("dependencies")
    found = [_NAME.match(entry) for entry in listed if isinstance(entry, str)] if isinstance(listed, list) else []
    poetry = table(table(table(project.get("tool")).get("poetry")).get("dependencies"))
    return {_normal(name[1]) for name in found if name} | {_normal(name) for name in poetry}


def _names_in_lock(tree: Tree) -> set[str]:
    packages = (tree.toml("uv.lock") or {}).get("package")
    names = [string(table(package).get("name")) for package in packages] if isinstance(packages, list) else []
    return {_normal(name) for name in names if name}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
