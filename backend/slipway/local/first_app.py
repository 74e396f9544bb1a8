"""The example that `--try` puts live, through the same command line that people type."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from slipway.errors import Unavailable
from slipway.local.state import State
from slipway.settings import Settings

NAME = "hello"


def put_live(state: State, settings: Settings, example: Path) -> None:
    """Make a Git repository of the example, an app of that, and deploy it; nothing if the app is there."""
    _make_repository(_repository(state), example)
    if not _ask(state, ["apps", "list"], "name", NAME):
        # Named as the installation's world sees it: there, the folders above the state folder may be closed.
        seen = settings.paths.srv / _repository(state).relative_to(state.paths.srv)
        _slipway(state, ["apps", "create", NAME, "--repo", str(seen)])
    if not _ask(state, ["releases", NAME], "live", True):
        _slipway(state, ["deploy", NAME, "--wait"])


def _ask(state: State, command: list[str], field: str, value: object) -> bool:
    """Whether one of the things that a command lists has this value."""
    listed = json.loads(_slipway(state, [*command, "--json"]))
    return any(thing[field] == value for thing in listed)


def _repository(state: State) -> Path:
    return state.paths.srv / "repositories" / NAME


def _make_repository(repository: Path, example: Path) -> None:
    """With one commit. Kept as it is when it is there: people are told to change it."""
    if repository.exists():
        return
    scratch = repository.with_name(f".{NAME}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    shutil.copytree(example, scratch, ignore=shutil.ignore_patterns("__pycache__"))
    for argv in (
        ["git", "init", "--quiet", "--initial-branch=main"],
        ["git", "add", "--all"],
        ["git", "-c", "commit.gpgsign=false", "commit", "--quiet", "--message=Say hello"],
    ):
        _run(argv, cwd=scratch, extra=_AUTHOR)
    if subprocess.run(["git", "config", "user.email"], cwd=scratch, capture_output=True, check=False).returncode != 0:
        # People are told to commit here, and Git would ask who they are first.
        for name in ("name", "email"):
            _run(["git", "config", f"user.{name}", _AUTHOR[f"GIT_AUTHOR_{name.upper()}"]], cwd=scratch)
    scratch.rename(repository)


_AUTHOR = {
    "GIT_AUTHOR_NAME": "Slipway",
    "GIT_AUTHOR_EMAIL": "slipway@localhost",
    "GIT_COMMITTER_NAME": "Slipway",
    "GIT_COMMITTER_EMAIL": "slipway@localhost",
}


def _slipway(state: State, arguments: list[str]) -> str:
    return _run([str(state.command), *arguments])


def _run(argv: list[str], *, cwd: Path | None = None, extra: dict[str, str] | None = None) -> str:
    ended = subprocess.run(
        argv,
        cwd=cwd,
        env={**os.environ, **(extra or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise Unavailable(f"{' '.join(argv)} failed with {ended.returncode}:\n{ended.stdout}{ended.stderr}".rstrip())
    return ended.stdout


def say_what_is_next(state: State, settings: Settings) -> None:
    print(
        f"""
Slipway runs, all of it in {state.folder}.

  The panel         {settings.panel_url}
  {_way_in(state, settings)}
{_example(state, settings)}
What next, with your own app:
  {state.command} apps create NAME --repo URL      https://…, or a path on this machine
  {state.command} deploy NAME --wait
  {state.command} logs NAME -f

Stop it with `{state.command} down`; ./install.sh --try --state {state.folder} resumes it.
"""
    )


def _way_in(state: State, settings: Settings) -> str:
    """A setup link would void the one before it: only where nobody has an account yet."""
    if json.loads(_slipway(state, ["status", "--json"]))["has_accounts"]:
        return f"Sign in at        {settings.panel_url}/sign-in"
    return f"Make your account {_slipway(state, ['setup-link']).strip()}   (works once, for a day)"


def _example(state: State, settings: Settings) -> str:
    """Nothing where it was not made, or is gone again."""
    if not _ask(state, ["apps", "list"], "name", NAME):
        return ""
    repository = _repository(state)
    return f"""  The example       {settings.url(settings.app_hostname(NAME, "production"))}

Ship a change of the example:
  cd {repository}
  sed -i 's/Hello, world/Ahoy/' server.py && git commit -am "Say ahoy"
  {state.command} deploy {NAME} --wait
  {state.command} rollback {NAME} --wait           back to the release before
"""
