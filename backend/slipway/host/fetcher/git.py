"""Runs git with a configuration of Slipway's own, and nothing of the machine's, the user's or the repository's."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

STALLED_BYTES_PER_SECOND = 1000
STALLED_SECONDS = 30
MAX_OUTPUT = 65536


class GitFailed(Exception):
    """Git's own words, as they came."""

    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words


def configuration(protocols: Sequence[str]) -> str:
    """A git configuration file: transports by allow-list, no hooks, no credentials, an end to stalled transfers.

    What is fetched stays one pack, however few objects it has: taken apart, each could become a large file of its own.
    It is on the disk, branches too, before Git says so: a build of it may be what goes on after a power cut.
    """
    allowed = "".join(f'[protocol "{name}"]\n\tallow = always\n' for name in protocols)
    return f"""[protocol]
\tallow = never
{allowed}[core]
\thooksPath = /dev/null
\taskPass = true
\tfsmonitor = false
\tfsync = all
[credential]
\thelper =
[safe]
\tdirectory = *
[http]
\tlowSpeedLimit = {STALLED_BYTES_PER_SECOND}
\tlowSpeedTime = {STALLED_SECONDS}
\tfollowRedirects = initial
[fetch]
\trecurseSubmodules = false
\twriteCommitGraph = false
\tunpackLimit = 1
[transfer]
\tbundleURI = false
[gc]
\tauto = 0
[maintenance]
\tauto = false
[pack]
\tthreads = 1
"""


class Git:
    """git over one bare repository."""

    def __init__(self, repository: Path, home: Path, protocols: Sequence[str]) -> None:
        self._repository = repository
        file = home / "gitconfig"
        file.write_text(configuration(protocols))
        self._environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            # Not by GIT_CONFIG_COUNT: git takes that away from the `upload-pack` it starts for a path.
            "GIT_CONFIG_GLOBAL": str(file),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "true",
            "GIT_PROTOCOL_FROM_USER": "0",
        }

    def run(self, *arguments: str) -> str:
        """→ what git says on its standard output. Raises GitFailed with what it says on the other."""
        done = subprocess.run(
            ["git", *arguments],
            cwd=self._repository,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            words = done.stderr.decode(errors="replace")[-MAX_OUTPUT:]
            if done.returncode == -signal.SIGXFSZ:
                words = "file size limit exceeded"
            raise GitFailed(words)
        return done.stdout.decode(errors="replace")

    def show_fetch(self, *arguments: str) -> None:
        """Run a fetch whose words go to the log as well. Raises GitFailed."""
        words: list[str] = []
        with subprocess.Popen(
            ["git", *arguments],
            cwd=self._repository,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            preexec_fn=os.setpgrp,
        ) as process:
            if process.stderr is None:
                raise GitFailed("git could not be started")
            for line in process.stderr:
                text = line.decode(errors="replace").rstrip()
                words.append(text)
                print(text, flush=True)
        if process.returncode != 0:
            raise GitFailed("\n".join(words)[-MAX_OUTPUT:])
