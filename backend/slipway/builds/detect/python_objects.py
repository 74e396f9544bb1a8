"""Finds the object that a Python web server serves by reading the source: a user's code is never imported for it."""

import ast
import sys
import warnings
from dataclasses import dataclass
from pathlib import PurePosixPath

from slipway.builds.detect.findings import HOW_TO_START
from slipway.builds.detect.tree import Tree

CONSTRUCTORS = {
    "Flask": "Flask",
    "Quart": "Quart",
    "FastAPI": "FastAPI",
    "Starlette": "Starlette",
    "Litestar": "Litestar",
}
"""Class → framework."""
OBJECTS = ("app", "application")
FACTORIES = ("create_app", "make_app")
FILES = ("wsgi.py", "asgi.py", "app.py", "main.py", "application.py", "server.py", "api.py")
_UNREADABLE = (ValueError, RecursionError, MemoryError)
"""What reading a source that was made to hurt can raise, besides SyntaxError."""
_IN_PACKAGES = ("__init__.py", "wsgi.py", "asgi.py", "app.py", "main.py")
_MAX_PACKAGES = 50
_NOT_THE_APP = {"tests", "test", "docs", "examples", "migrations", "venv", "env", "node_modules", "static", "templates"}


@dataclass(frozen=True)
class WebObject:
    """What a server is told to serve: `module:name`, or `module:name()` for a factory."""

    module: str
    name: str
    is_factory: bool
    framework: str | None
    """None when the object comes from elsewhere: `from shop import app`."""
    file: str
    source: str
    """The folder that the module is imported from: "" or "src"."""


def find(tree: Tree) -> WebObject | None:
    """The best candidate: what wsgi.py or asgi.py offers, then objects of a known class, then factories."""
    found = [candidate for source, file in _files(tree) if (candidate := _in_file(tree, source, file)) is not None]
    return min(found, key=_rank, default=None)


def find_syntax_error(tree: Tree) -> str | None:
    """Where the first of these files stops being Python: a sentence, as the reason why nothing was found."""
    for _, file in _files(tree):
        try:
            _compile(tree.text_if_readable(file))
        except SyntaxError as error:
            version = f"{sys.version_info.major}.{sys.version_info.minor}"
            return (
                f"{file}, line {error.lineno}: syntax error (as Python {version} reads it). So it could not be found "
                f"out how to serve this app. Correct the file, or {HOW_TO_START}."
            )
        except _UNREADABLE:
            continue
    return None


def _rank(candidate: WebObject) -> int:
    """An entry file that is meant for servers wins, then what is surely an app. `min` keeps the order of files."""
    if PurePosixPath(candidate.file).name in ("wsgi.py", "asgi.py"):
        return 0
    return 1 if not candidate.is_factory else 2


def _files(tree: Tree) -> list[tuple[str, str]]:
    """(source folder, path) of each file looked at, in the order of trust."""
    files = [("", name) for name in FILES]
    files += [("src", f"src/{name}") for name in FILES]
    for source in ("", "src"):
        packages = [path for path in tree.folders(source) if _can_be_package(path, source)]
        files += [(source, f"{package}/{name}") for package in packages[:_MAX_PACKAGES] for name in _IN_PACKAGES]
    return files


def _can_be_package(path: str, source: str) -> bool:
    name = PurePosixPath(path).name
    return name.isascii() and name.isidentifier() and name not in _NOT_THE_APP and not (source == "" and name == "src")


def _in_file(tree: Tree, source: str, file: str) -> WebObject | None:
    text = tree.text_if_readable(file)
    module = _parse(text) if text else None
    if module is None:
        return None
    name = _module_name(source, file)
    for statement in module.body:
        framework = _framework_of(statement)
        for bound in _bound_names(statement):
            if bound in OBJECTS and framework:
                return WebObject(name, bound, False, framework, file, source)
    for statement in module.body:
        if isinstance(statement, ast.FunctionDef) and statement.name in FACTORIES and _needs_nothing(statement):
            return WebObject(name, statement.name, True, _framework_inside(statement), file, source)
    if PurePosixPath(file).name in ("wsgi.py", "asgi.py"):
        for statement in module.body:
            for bound in _bound_names(statement):
                if bound in OBJECTS:
                    return WebObject(name, bound, False, None, file, source)
    return None


def _parse(text: str) -> ast.Module | None:
    try:
        return _compile(text)
    except (SyntaxError, *_UNREADABLE):
        return None


def _compile(text: str) -> ast.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ast.parse(text)


def _module_name(source: str, file: str) -> str:
    path = PurePosixPath(file).relative_to(source) if source else PurePosixPath(file)
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _bound_names(statement: ast.stmt) -> list[str]:
    """The names that a statement at module level binds."""
    if isinstance(statement, ast.Assign):
        return [target.id for target in statement.targets if isinstance(target, ast.Name)]
    if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
        return [statement.target.id]
    if isinstance(statement, ast.ImportFrom):
        return [alias.asname or alias.name for alias in statement.names]
    return []


def _framework_of(statement: ast.stmt) -> str | None:
    value = statement.value if isinstance(statement, (ast.Assign, ast.AnnAssign)) else None
    return _framework_of_call(value)


def _framework_of_call(node: ast.AST | None) -> str | None:
    if not isinstance(node, ast.Call):
        return None
    called = node.func
    name = called.id if isinstance(called, ast.Name) else called.attr if isinstance(called, ast.Attribute) else ""
    return CONSTRUCTORS.get(name)


def _framework_inside(function: ast.FunctionDef) -> str | None:
    return next((found for node in ast.walk(function) if (found := _framework_of_call(node))), None)


def _needs_nothing(function: ast.FunctionDef) -> bool:
    arguments = function.args
    required = len(arguments.posonlyargs) + len(arguments.args) - len(arguments.defaults)
    return required == 0 and all(default is not None for default in arguments.kw_defaults)
