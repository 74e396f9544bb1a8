"""Turns a commit of a mirror into files, with Git's plumbing alone: no hooks, no filters, no submodules, no network.

Git is given an empty repository made for the moment, and of the mirror only its objects: nothing that stands in the
mirror's configuration counts.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from slipway.builds.builder import commands
from slipway.builds.builder.output import Output
from slipway.builds.detect.tree import CannotBuild

_CHUNK = 64 * 1024
_BLOCK = 4096
"""Even an empty file or a folder takes some of the disk; so counted, no number of them goes unlimited."""
_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.attributesFile": "/dev/null",
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.symlinks": "true",
    "core.protectHFS": "true",
    "core.protectNTFS": "true",
    "protocol.allow": "never",
}


def check_out(mirror: Path, commit: str, folder: Path, output: Output, limit: int) -> Path:
    """Write the commit's files, `limit` bytes at most, to folder/app and give that. Raises CannotBuild."""
    app, repository = folder / "app", folder / ".checkout"
    app.mkdir()
    quiet = _quiet_environment()
    if commands.run(["git", "init", "--quiet", "--bare", "--template=", str(repository)], folder, quiet, output) != 0:
        raise CannotBuild("Git cannot be used on this server. The lines above say why.")
    try:
        _write_files(commit, app, quiet | _objects_of(mirror, app, repository), output, limit)
    finally:
        shutil.rmtree(repository)
    if not any(app.iterdir()):
        raise CannotBuild("The commit has no files. Push something to build first.")
    return app


def _write_files(commit: str, app: Path, environment: Mapping[str, str], output: Output, limit: int) -> None:
    def git(*arguments: str) -> int:
        return commands.run(["git", *arguments], app, environment, output)

    if git("cat-file", "-e", f"{commit}^{{commit}}") != 0:
        raise CannotBuild(
            f"The commit {commit[:12]} is not in the repository's copy here. Was it removed? Deploy again."
        )
    if not _fits(commit, app, environment, limit):
        raise CannotBuild(
            f"The commit's files would take more than {limit // 2**20} MiB of the disk, which is this server's limit. "
            "Take out what the app does not need, or raise checkout_disk in Slipway's settings."
        )
    if git("read-tree", commit) != 0:
        raise CannotBuild("The commit's tree cannot be read: Git refuses a name in it. The lines above say which.")
    if git("checkout-index", "--all", "--quiet") != 0:
        raise CannotBuild("Git could not write the commit's files. The lines above say why.")


def _fits(commit: str, folder: Path, environment: Mapping[str, str], limit: int) -> bool:
    """Whether the commit's files may be written, known before the first is: a small tree can name the same large file,
    or the same folder, a million times. Raises CannotBuild where it cannot be known."""
    taken = 0
    with subprocess.Popen(
        ["git", "ls-tree", "-r", "-t", "-l", "-z", "--full-tree", commit],
        cwd=folder, env=dict(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as listing:  # fmt: skip
        assert listing.stdout is not None
        rest = b""
        while chunk := listing.stdout.read(_CHUNK):
            *entries, rest = (rest + chunk).split(b"\0")
            taken += sum(_on_disk(entry) for entry in entries)
            if taken > limit:
                listing.kill()
                return False
    if listing.returncode != 0:
        raise CannotBuild("The commit's files cannot be listed: part of it is missing or damaged. Push it anew.")
    return True


def _on_disk(entry: bytes) -> int:
    """Bytes, in whole blocks, of one line `<mode> <type> <object> <size>\t<path>`; folders and submodules have none."""
    size = entry.partition(b"\t")[0].split()[3]
    return -(-int(size) // _BLOCK) * _BLOCK if size.isdigit() and size != b"0" else _BLOCK


def _quiet_environment() -> dict[str, str]:
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_CONFIG_COUNT": str(len(_SETTINGS)),
    }
    for number, (name, value) in enumerate(_SETTINGS.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return environment


def _objects_of(mirror: Path, app: Path, repository: Path) -> dict[str, str]:
    return {
        "GIT_DIR": str(repository),
        "GIT_OBJECT_DIRECTORY": str(mirror / "objects"),
        "GIT_WORK_TREE": str(app),
        "GIT_INDEX_FILE": str(repository / "index"),
    }
