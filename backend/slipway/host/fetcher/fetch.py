"""Bring a mirror up to date and find the wanted commit."""

import fcntl
import os
import tempfile
import time
from pathlib import Path

import msgspec

from slipway.host.fetcher.git import Git, GitFailed
from slipway.host.fetcher.order import RESULT_FOLDER, FetchOrder, FetchResult, result_name
from slipway.host.fetcher.reasons import NO_BRANCH, is_too_large, reason

BRANCH_PREFIX = "refs/heads/"
BRANCHES_NAMED = 10
"""At most so many branches are named when the wanted one is not there."""
OLD_RESULT_SECONDS = 86400


def carry_out(order: FetchOrder) -> FetchResult:
    """Fetch, find, and leave the result in the mirror."""
    mirror = Path(order.mirror)
    with tempfile.TemporaryDirectory() as home, open(mirror / "slipway.lock", "w") as lock:
        # Two environments of one app may fetch at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        git = Git(mirror, Path(home), order.protocols)
        try:
            result = _fetch(git, order)
        except GitFailed as error:
            too_large = is_too_large(error.words)
            result = FetchResult(
                ok=False,
                reason=_too_large(order) if too_large else reason(error.words),
                limit="disk" if too_large else None,
            )
        _leave(mirror, order.id, result)
    return result


def _fetch(git: Git, order: FetchOrder) -> FetchResult:
    if not (Path(order.mirror) / "HEAD").exists():
        git.run("init", "--bare", "--quiet", "--initial-branch=main", ".")
    if Path(order.source).is_dir() and not os.access(order.source, os.R_OK | os.X_OK):
        # Git would say that there is no repository.
        raise GitFailed("permission denied")
    print("Fetching the repository", flush=True)
    git.show_fetch(
        "fetch", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
        "--end-of-options", order.source, f"+{BRANCH_PREFIX}*:{BRANCH_PREFIX}*",
    )  # fmt: skip
    branches = git.run("for-each-ref", "--format=%(refname)", BRANCH_PREFIX).split("\n")[:-1]
    if not branches:
        return FetchResult(
            ok=False, reason="The repository is empty: it has no branch. Push a commit, then deploy again."
        )
    commit = _find_commit(git, order, [name.removeprefix(BRANCH_PREFIX) for name in branches])
    if isinstance(commit, FetchResult):
        return commit
    subject, author = (
        git.run("log", "-1", "--no-show-signature", "--format=%s%x00%an", commit, "--").rstrip("\n").split("\0")
    )
    print(f"Commit {commit[:12]}: {_printable(subject)}", flush=True)
    return FetchResult(ok=True, commit=commit, subject=_printable(subject), author=_printable(author))


def _find_commit(git: Git, order: FetchOrder, branches: list[str]) -> str | FetchResult:
    if order.commit is None:
        if order.branch not in branches:
            named = ", ".join(_printable(name) for name in branches[:BRANCHES_NAMED])
            more = f" and {len(branches) - BRANCHES_NAMED} more" if len(branches) > BRANCHES_NAMED else ""
            return FetchResult(ok=False, reason=f"{NO_BRANCH} {order.branch}. There is: {named}{more}.")
        return git.run("rev-parse", "--verify", "--end-of-options", f"{BRANCH_PREFIX}{order.branch}^{{commit}}").strip()
    try:
        containing = git.run("for-each-ref", "--count=1", f"--contains={order.commit}", "--format=x", BRANCH_PREFIX)
    except GitFailed:
        containing = ""
    if not containing.strip():
        return FetchResult(
            ok=False,
            reason=f"Commit {order.commit[:12]} is not on any branch of the repository. Was it pushed? "
            "A force-push may have taken it away.",
        )
    return order.commit


def _leave(mirror: Path, number: int, result: FetchResult) -> None:
    folder = mirror / RESULT_FOLDER
    folder.mkdir(exist_ok=True)
    for old in folder.iterdir():
        if old.stat().st_mtime < time.time() - OLD_RESULT_SECONDS:
            old.unlink()
    temporary = folder / f".{result_name(number)}.new"
    temporary.write_bytes(msgspec.json.encode(result))
    os.rename(temporary, folder / result_name(number))


def _too_large(order: FetchOrder) -> str:
    return (
        f"The repository is too large: Git would have written a file of more than {order.max_file_bytes // 2**20} MiB, "
        "or the disk is full."
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:300].strip()
