"""Looks at a checkout and decides how it is built and started; what a person set wins over what is found."""

import shlex

from slipway.builds.detect import node, procfile, python
from slipway.builds.detect.findings import HOW_TO_START, Findings, Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree
from slipway.plan import BuildOverrides, Step, check_relative_path

STATIC_FOLDERS = ("public", "dist", "site", "www")
_HINTS = 3


def detect(tree: Tree, places: Places, tools: Tools, overrides: BuildOverrides) -> Findings:
    """Nothing is run and nothing written. Raises CannotBuild, with what was looked for and what to add."""
    findings = Findings()
    _read_procfile(tree, findings)
    wants_web = not findings.processes and not overrides.start_command and not overrides.public_folder
    _find_language(tree, places, tools, overrides, findings, wants_web=wants_web)
    if wants_web and not findings.processes and not findings.public_folders:
        _find_static(tree, findings)
    _apply(overrides, findings)
    if not findings.processes and not findings.public_folders:
        raise CannotBuild(_nothing_to_run(tree, findings))
    _note_what_is_left_out(tree, findings)
    return findings


def _read_procfile(tree: Tree, findings: Findings) -> None:
    text = tree.text("Procfile", procfile.MAX_BYTES)
    if text is None:
        return
    findings.processes = procfile.parse(text)
    findings.release_command = findings.processes.pop(procfile.RELEASE, None)
    findings.reasons += [f"Procfile: {name}: {command[:200]}" for name, command in findings.processes.items()]
    if findings.release_command:
        findings.reasons.append(f"Procfile: release command: {findings.release_command[:200]}")


def _find_language(
    tree: Tree, places: Places, tools: Tools, overrides: BuildOverrides, findings: Findings, *, wants_web: bool
) -> None:
    package = node.read_package(tree)
    if not python.is_python(tree):
        if package is not None:
            node.find(tree, package, places, tools, findings, wants_web=wants_web, is_primary=True)
        return
    if package is not None and "build" in package.scripts:
        # The front end first: collecting static files wants what it puts out.
        node.find(tree, package, places, tools, findings, wants_web=False, is_primary=False)
    wants_pip = overrides.install_command is not None or overrides.build_command is not None
    python.find(tree, places, tools, findings, wants_pip=wants_pip, wants_web=wants_web)


def _find_static(tree: Tree, findings: Findings) -> None:
    if findings.stack != "procfile":
        return
    folder = next((name for name in ("", *STATIC_FOLDERS) if tree.has_file(f"{name}/index.html".lstrip("/"))), None)
    if folder is None:
        return
    findings.stack = "static"
    findings.public_folders = [folder or "."]
    shown = f"{folder}/index.html" if folder else "index.html"
    findings.reasons.append(f"Static site: {shown} is there → served by nginx, nothing is run")


def _apply(overrides: BuildOverrides, findings: Findings) -> None:
    """What a person set in place of what was found, each with a line that says so."""
    if overrides.install_command:
        findings.install = [Step("Install, as set for this environment", command=overrides.install_command)]
        findings.reasons.append(f"Install command, as set: {overrides.install_command}")
    if overrides.build_command:
        findings.build = [Step("Build, as set for this environment", command=overrides.build_command)]
        findings.reasons.append(f"Build command, as set: {overrides.build_command}")
    if overrides.release_command:
        findings.release_command = overrides.release_command
        findings.reasons.append(f"Release command, as set: {overrides.release_command}")
    if overrides.public_folder:
        folder = check_relative_path(overrides.public_folder) or "."
        findings.processes.pop("web", None)
        findings.public_folders = [folder]
        findings.stack = "static" if findings.stack == "procfile" and not findings.processes else findings.stack
        findings.reasons.append(f"Static site, as set: {folder} is served by nginx")
    if overrides.start_command:
        findings.processes["web"] = overrides.start_command
        findings.public_folders = []
        findings.reasons.append(f"Start command, as set → web: {overrides.start_command}")


def _nothing_to_run(tree: Tree, findings: Findings) -> str:
    if findings.no_web:
        return findings.no_web
    looked_for = (
        "Nothing here says how to run it. Looked for: Procfile, requirements.txt, pyproject.toml, manage.py, "
        f"package.json, index.html (also in {', '.join(STATIC_FOLDERS)}). "
    )
    elsewhere = [folder for folder in tree.folders() if _looks_like_an_app(tree, folder)][:_HINTS]
    if elsewhere:
        return looked_for + f"An app may be in {' or '.join(elsewhere)}: set that as the app's base directory."
    if any(name.endswith(".py") for name in tree.names()):
        return looked_for + "There are Python files: add a requirements.txt (it may be empty) or a Procfile."
    if tree.has_file("Dockerfile"):
        looked_for += "There is a Dockerfile, but Dockerfiles are not used yet. "
    return looked_for + f"Add a Procfile with a line such as `web: ./start`, or {HOW_TO_START} or a public folder."


def _looks_like_an_app(tree: Tree, folder: str) -> bool:
    markers = ("Procfile", "package.json", "requirements.txt", "pyproject.toml", "manage.py", "index.html")
    return tree.first_file(*(f"{folder}/{marker}" for marker in markers)) is not None


def _note_what_is_left_out(tree: Tree, findings: Findings) -> None:
    if tree.has_file(".gitmodules"):
        findings.reasons.append("Note: Git submodules are not fetched; their folders are empty")
    if "filter=lfs" in tree.text_if_readable(".gitattributes"):
        findings.reasons.append("Note: Git LFS files are not fetched; pointers stand in their place")


def explain(findings: Findings) -> list[str]:
    """The first lines of a build's log: what it is, and why."""
    kind = {"python": "Python", "node": "Node", "static": "Static", "procfile": "Procfile"}[findings.stack]
    framework = f", {findings.framework}" if findings.framework else ""
    return [f"Detected: {kind}{framework}", *(f"  {reason}" for reason in findings.sentences())]


def shown(step: Step) -> str:
    """A step as one would type it."""
    return shlex.join(step.argv) if step.argv is not None else str(step.command)
