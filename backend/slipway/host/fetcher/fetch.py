"""Bring a mirror up to date and find the wanted commit."""

import fcntl
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

import msgspec

from slipway.host.fetcher.git import Git, GitFailed
from slipway.host.fetcher.order import RESULT_FOLDER, FetchOrder, FetchResult, result_name
from slipway.host.fetcher.reasons import DISK_FULL, NO_BRANCH, is_disk_full, is_too_large, reason

BRANCH_PREFIX = "refs/heads/"
BRANCHES_NAMED = 10
"""At most so many branches are named when the wanted one is not there."""
OLD_RESULT_SECONDS = 86400
LOCK = "slipway.lock"
_REFERENCE = re.compile(rb"[0-9a-f]{40,64}\n")
MANY_PACKS = 50
"""Each fetch brings a pack; among so many of them it takes Git long to find an object."""


class TooLarge(Exception):
    """The repository does not fit into what a mirror may take."""


def carry_out(order: FetchOrder) -> FetchResult:
    """Fetch, find, and leave the result in the mirror."""
    mirror = Path(order.mirror)
    with tempfile.TemporaryDirectory() as home, open(mirror / LOCK, "w") as lock:
        # Two environments of one app may fetch at once.
        fcntl.flock(lock, fcntl.LOCK_EX)
        git = Git(mirror, Path(home), order.protocols)
        try:
            _tidy(mirror, order.max_bytes)
            result = _fetch(git, order)
        except TooLarge:
            result = _refused(_too_large(order))
        except GitFailed as error:
            if is_too_large(error.words) or _met_limit(mirror, order.max_bytes):
                result = _refused(_too_large(order))
            elif is_disk_full(error.words):
                result = _refused(DISK_FULL)
            else:
                result = FetchResult(ok=False, reason=reason(error.words))
            # A fetch that failed may have stored its pack before.
            _tidy(mirror, order.max_bytes)
        _leave(mirror, order.id, result)
    return result


def _fetch(git: Git, order: FetchOrder) -> FetchResult:
    if Path(order.source).is_dir() and not os.access(order.source, os.R_OK | os.X_OK):
        # Git would say that there is no repository.
        raise GitFailed("permission denied")
    print("Fetching the repository", flush=True)
    _bring_up_to_date(git, order)
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
    return FetchResult(ok=True, commit=commit, subject=_printable(subject), author=_printable(author))


def _bring_up_to_date(git: Git, order: FetchOrder) -> None:
    """Raises TooLarge when the repository does not fit, and keeps nothing of it then."""
    mirror = Path(order.mirror)
    while True:
        if not (mirror / "HEAD").exists():
            git.run("init", "--bare", "--quiet", "--initial-branch=main", ".")
        earlier = _packs(mirror)
        git.show_fetch(
            "fetch", "--prune", "--no-tags", "--no-write-fetch-head", "--no-auto-maintenance",
            "--end-of-options", order.source, f"+{BRANCH_PREFIX}*:{BRANCH_PREFIX}*",
        )  # fmt: skip
        if _size(mirror) <= order.max_bytes:
            break
        _empty(mirror)
        if not earlier:
            raise TooLarge
        # A mirror keeps what was since taken out of the repository: without that, it may well fit.
        print("Slipway's copy has grown too large; fetching it anew", flush=True)
    if _packs(mirror) > MANY_PACKS:
        # Every object is kept: a build of a commit that is on no branch any more may be reading.
        git.run("repack", "--geometric=2", "-d", "--quiet", "--window=0")


def _packs(mirror: Path) -> int:
    return sum(1 for _ in mirror.glob("objects/pack/*.pack"))


def _size(folder: Path) -> int:
    """What it takes on the disk, in bytes."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*"))


def _empty(mirror: Path) -> None:
    """Take a mirror's repository away. HEAD first: without it, the next fetch begins with a new one."""
    for name in ("HEAD", "packed-refs"):
        (mirror / name).unlink(missing_ok=True)
    for name in ("refs", "objects"):
        if (mirror / name).exists():
            shutil.rmtree(mirror / name)


def _met_limit(mirror: Path, limit: int) -> bool:
    """Whether a pack was ended for its size: the part of Git that is told so is not the one that says how it went."""
    return any(half.stat().st_size >= limit for half in _halves(mirror))


def _tidy(mirror: Path, limit: int) -> None:
    """Take away what a Git that was ended in the middle left: halves would lie there for ever, and locks be in the way
    for ever. A mirror that is too large is emptied: only a fetch that succeeds looks at that itself. So is one that a
    power cut tore: Git refuses it, however often it is asked.
    """
    for left in (*_halves(mirror), *_locks(mirror)):
        left.unlink()
    if _size(mirror) > limit or _is_torn(mirror):
        _empty(mirror)


def _is_torn(mirror: Path) -> bool:
    """Whether a file's name reached the disk and its content did not."""
    head = mirror / "HEAD"
    if head.exists() and not head.read_bytes().startswith(b"ref: "):
        return True
    return any(not _REFERENCE.fullmatch(file.read_bytes()) for file in mirror.glob("refs/**/*") if file.is_file())


def _halves(mirror: Path) -> list[Path]:
    """Unfinished packs, of a fetch or a repack."""
    return [half for name in ("tmp_*", ".tmp-*") for half in mirror.glob(f"objects/pack/{name}")]


def _locks(mirror: Path) -> list[Path]:
    """Git's. Whoever holds the mirror's own lock knows that no Git is at work in it."""
    above = [lock for name in ("*.lock", "packed-refs.new") for lock in mirror.glob(name) if lock.name != LOCK]
    return [*above, *mirror.glob("refs/**/*.lock")]


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


def _refused(reason: str) -> FetchResult:
    return FetchResult(ok=False, reason=reason, limit="disk")


def _too_large(order: FetchOrder) -> str:
    return (
        f"The repository is too large: with its history it takes more than {order.max_bytes // 2**20} MiB, which is "
        "this server's limit. Take large files out of its history, or raise repository_disk in Slipway's settings."
    )


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)[:300].strip()
