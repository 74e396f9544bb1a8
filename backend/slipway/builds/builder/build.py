"""One build, as a story: check out, detect, install and build, settle what the plan left open."""

import os
import shutil
import signal
import sys
import time
from pathlib import Path

from slipway.builds.builder import checkout, commands, environment, files
from slipway.builds.builder.output import Output
from slipway.builds.detect.detection import detect, explain, shown
from slipway.builds.detect.findings import SYSTEM_PATH, Findings, Places, Tools
from slipway.builds.detect.tree import CannotBuild, Tree
from slipway.plan import BuildOrder, Plan, Step, check_relative_path, validate

_NOT_FOUND, _NOT_EXECUTABLE = 127, 126


def build(order: BuildOrder, output: Output) -> Plan:
    """Make the build. Raises CannotBuild, Invalid or LogLimitReached; the folder is then of no use."""
    folder = Path(order.folder)
    files.empty(folder)
    output.say(f"Checking out {order.commit[:12]}")
    app = checkout.check_out(Path(order.mirror), order.commit, folder, output, order.checkout_limit_bytes)
    tree = Tree(app, check_relative_path(order.base_directory, "base_directory"))
    places = Places(folder=str(folder), directory=str(tree.path), cache=order.cache)
    findings = detect(tree, places, find_tools(), order.overrides)
    for line in explain(findings):
        output.say(line)
    _run_steps(order, findings, tree.path, output)
    public_folder = None
    if findings.is_static:
        public_folder = str(files.find_public_folder(tree.path, findings.public_folders))
        output.say(f"Static files are in {os.path.relpath(public_folder, app)}")
    files.make_readable(folder)
    return validate(findings.plan(places, public_folder), folder)


def find_tools() -> Tools:
    """The server's own programs; uv comes with Slipway, beside the Python that runs this."""
    beside = Path(sys.executable).parent / "uv"
    return Tools(
        python=shutil.which("python3", path="/usr/bin:/usr/local/bin"),
        uv=str(beside) if os.access(beside, os.X_OK) else shutil.which("uv", path=SYSTEM_PATH),
        node=shutil.which("node", path=SYSTEM_PATH),
        npm=shutil.which("npm", path=SYSTEM_PATH),
    )


def _run_steps(order: BuildOrder, findings: Findings, directory: Path, output: Output) -> None:
    cache = Path(order.cache)
    (cache / "home").mkdir(parents=True, exist_ok=True)
    variables = environment.variables(Path(order.folder), cache, findings.runtime_variables(), order.variables)
    for step in findings.steps:
        output.say("")
        output.say(f"$ {shown(step)}")
        began = time.monotonic()
        status = _run_step(step, directory, variables, output)
        if status != 0:
            raise CannotBuild(_failure(step, status))
        output.say(f"({step.title}: {time.monotonic() - began:.1f} s)")


def _run_step(step: Step, directory: Path, variables: dict[str, str], output: Output) -> int:
    argv = list(step.argv) if step.argv is not None else ["/bin/sh", "-c", str(step.command)]
    # Looked up here: a user's own PATH may have been meant for the commands, and must not hide why one is missing.
    program = shutil.which(argv[0], path=variables.get("PATH", SYSTEM_PATH))
    if program is None:
        return _NOT_FOUND
    return commands.run([program, *argv[1:]], directory, variables, output)


def _failure(step: Step, status: int) -> str:
    name = f"`{shown(step)[:200]}`"
    if status < 0:
        ended = signal.strsignal(-status) or f"signal {-status}"
        return f"{step.title}: {name} was ended by a signal ({ended}). If the build's memory ran out, allow it more."
    if status == _NOT_FOUND:
        return f"{step.title}: {name} could not run: a program that it needs is not there. The log says which."
    if status == _NOT_EXECUTABLE:
        return f"{step.title}: {name} could not run: a file is not executable. Set its mode in Git: git add --chmod=+x."
    return f"{step.title}: {name} ended with exit status {status}. The last lines of the log say why."
