"""The fetcher itself, with real git, against repositories that nobody should have."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from slipway.host.fetcher.order import RESULT_FOLDER, FetchOrder, FetchResult, result_name

from .conftest import git

MIB = 2**20


def fetch(folder: Path, source: str, *, limit: int = 2**30, protocols: tuple[str, ...] = ("file",)) -> FetchResult:
    mirror = folder / "mirror"
    mirror.mkdir(exist_ok=True)
    order = FetchOrder(1, str(mirror), source, protocols, "main", None, limit)
    (folder / "order.json").write_bytes(msgspec.json.encode(order))
    done = subprocess.run(
        [sys.executable, "-m", "slipway.host.fetcher", str(folder / "order.json")], capture_output=True, check=False
    )
    result = msgspec.json.decode((mirror / RESULT_FOLDER / result_name(1)).read_bytes(), type=FetchResult)
    assert done.returncode == (0 if result.ok else 1), done
    assert done.stdout.endswith(b"\x1eslipway-end\n")
    return result


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    return folder


def commit(folder: Path, message: str = "First") -> None:
    git(folder, "add", "-A")
    git(folder, "-c", "user.name=Ann", "-c", "user.email=a@example.org", "commit", "-qm", message, "--allow-empty")


def on_disk(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("files", [1, 30])
def test_a_repository_that_is_too_large_is_told_as_such_and_leaves_nothing(
    tmp_path: Path, repository: Path, files: int
) -> None:
    for number in range(files):
        (repository / f"large{number}").write_bytes(os.urandom(3 * MIB // files))
    commit(repository)
    for _ in range(2):
        result = fetch(tmp_path, str(repository), limit=MIB)
        assert (result.ok, result.limit) == (False, "disk")
        assert result.reason is not None
        assert "too large: with its history it takes more than 1 MiB" in result.reason
        assert on_disk(tmp_path / "mirror") < MIB // 4, "no half of a pack lies about"
    assert fetch(tmp_path, str(repository)).ok


def test_what_a_killed_git_left_is_taken_away_by_the_next_fetch(tmp_path: Path, repository: Path) -> None:
    commit(repository)
    assert fetch(tmp_path, str(repository)).ok
    packs = tmp_path / "mirror/objects/pack"
    for name in ("tmp_pack_a1B2c3", ".tmp-123-pack-0a1b.pack"):
        (packs / name).write_bytes(b"half")
    assert fetch(tmp_path, str(repository)).ok
    assert [file.name for file in packs.iterdir() if "tmp" in file.name] == []


def test_what_a_killed_git_locked_is_free_again_for_the_next_fetch(tmp_path: Path, repository: Path) -> None:
    commit(repository)
    git(repository, "branch", "gone")
    assert fetch(tmp_path, str(repository)).ok
    mirror = tmp_path / "mirror"
    git(mirror, "pack-refs", "--all")
    git(repository, "branch", "-D", "gone")
    git(repository, "branch", "feature/new")
    commit(repository, "Second")
    (mirror / "refs/heads/feature").mkdir()
    locks = ("refs/heads/main.lock", "refs/heads/feature/new.lock", "packed-refs.lock", "packed-refs.new")
    for name in locks:
        (mirror / name).touch()
    result = fetch(tmp_path, str(repository))
    assert result.ok, result
    assert git(mirror, "for-each-ref", "--format=%(refname)").split() == ["refs/heads/feature/new", "refs/heads/main"]
    (mirror / "HEAD").unlink()  # as a Git leaves it that was killed while it made the mirror
    for name in ("HEAD.lock", "config.lock"):
        (mirror / name).touch()
    result = fetch(tmp_path, str(repository))
    assert result.ok, result
    assert list(mirror.rglob("*.lock")) == [mirror / "slipway.lock"]


def test_a_repository_with_a_branch_that_cannot_be_stored_does_not_fill_the_disk(
    tmp_path: Path, repository: Path
) -> None:
    for number in range(5):
        (repository / "large").write_bytes(os.urandom(MIB // 2))
        commit(repository, f"Commit {number}")
        head = git(repository, "rev-parse", "HEAD").strip()
        (repository / ".git/packed-refs").write_text(f"{head} refs/heads/{'x' * 300}\n")
        git(repository, "checkout", "-q", "--orphan", f"next{number}")
        git(repository, "branch", "-q", "-D", "main" if number == 0 else f"next{number - 1}")
        assert not fetch(tmp_path, str(repository), limit=MIB).ok
        assert on_disk(tmp_path / "mirror") < MIB + MIB // 4


def test_what_a_killed_fetch_left_is_counted_before_the_next_one_begins(tmp_path: Path, repository: Path) -> None:
    commit(repository)
    assert fetch(tmp_path, str(repository)).ok
    mirror = tmp_path / "mirror"
    (tmp_path / "large").write_bytes(os.urandom(2 * MIB))
    large = git(mirror, "hash-object", "-w", str(tmp_path / "large"))
    git(mirror, "pack-objects", "-q", "objects/pack/pack", given=large)
    git(mirror, "prune-packed", "-q")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = f"http://127.0.0.1:{silent.getsockname()[1]}/a.git"
        order = FetchOrder(1, str(mirror), source, ("http",), "main", None, MIB)
        (tmp_path / "order.json").write_bytes(msgspec.json.encode(order))
        fetching = subprocess.Popen([sys.executable, "-m", "slipway.host.fetcher", str(tmp_path / "order.json")])
        silent.settimeout(60)
        connection, _ = silent.accept()
        try:
            assert on_disk(mirror) < MIB // 4, "Git is asking, and what was too large is gone"
        finally:
            connection.close()
            silent.close()
            fetching.wait()


def test_a_mirror_that_grew_too_large_by_what_was_force_pushed_away_is_made_anew(
    tmp_path: Path, repository: Path
) -> None:
    commit(repository)
    for _ in range(4):
        (repository / "large").write_bytes(os.urandom(MIB // 2))
        git(repository, "add", "-A")
        git(repository, "-c", "user.name=A", "-c", "user.email=a@b", "commit", "-q", "--amend", "-m", "Another history")
        result = fetch(tmp_path, str(repository), limit=MIB)
        assert result.ok, result
        assert result.commit == git(repository, "rev-parse", "HEAD").strip()
        assert on_disk(tmp_path / "mirror") < MIB


def test_many_packs_become_few_and_every_object_is_still_there(tmp_path: Path, repository: Path) -> None:
    commit(repository)
    assert fetch(tmp_path, str(repository)).ok
    mirror = tmp_path / "mirror"
    objects = [git(mirror, "hash-object", "-w", "--stdin", given=f"object {n}").strip() for n in range(60)]
    for name in objects:
        git(mirror, "pack-objects", "-q", "objects/pack/pack", given=f"{name}\n")
    git(mirror, "prune-packed", "-q")
    assert len(list(mirror.glob("objects/pack/*.pack"))) > 60
    commit(repository, "Second")
    assert fetch(tmp_path, str(repository)).ok
    assert len(list(mirror.glob("objects/pack/*.pack"))) < 10
    for name in objects:
        git(mirror, "cat-file", "-e", name)


def test_a_commits_words_are_one_printable_line(tmp_path: Path, repository: Path) -> None:
    commit(repository, "\x1b[31mred\x07 <b>\ttab")
    assert fetch(tmp_path, str(repository)).subject == "[31mred  <b> tab"


def test_a_transport_that_was_not_listed_is_refused_by_git_itself(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    for source in (f"ext::touch {canary}", f"--upload-pack=touch {canary}", "file:///etc"):
        result = fetch(tmp_path, source, protocols=("https",))
        assert not result.ok
    assert not canary.exists()


def test_hooks_and_settings_of_a_mirror_and_of_the_source_do_not_run(tmp_path: Path, repository: Path) -> None:
    canary = tmp_path / "canary"
    commit(repository)
    git(repository, "config", "uploadpack.packObjectsHook", f"touch {canary}")
    for folder in (repository / ".git", tmp_path / "mirror"):
        hooks = folder / "hooks"
        hooks.mkdir(parents=True, exist_ok=True)
        for name in ("post-update", "reference-transaction", "pre-auto-gc"):
            (hooks / name).write_text(f"#!/bin/sh\ntouch {canary}\n")
            (hooks / name).chmod(0o755)
    assert fetch(tmp_path, str(repository)).ok
    assert not canary.exists()


def test_two_fetches_of_one_mirror_wait_for_each_other(tmp_path: Path, repository: Path) -> None:
    commit(repository)
    assert fetch(tmp_path, str(repository)).ok
    order = str(tmp_path / "order.json")
    both = [subprocess.Popen([sys.executable, "-m", "slipway.host.fetcher", order]) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]


@pytest.mark.parametrize("lost", ["HEAD", "config", "refs/heads/main", "objects/pack/*.idx", "objects/pack/*.pack"])
def test_a_mirror_of_which_a_power_cut_left_an_empty_file_is_made_anew(
    tmp_path: Path, repository: Path, lost: str
) -> None:
    """As file systems leave what was written and not yet on the disk."""
    commit(repository)
    assert fetch(tmp_path, str(repository)).ok
    for file in (tmp_path / "mirror").glob(lost):
        file.chmod(0o644)
        file.write_bytes(b"")
    commit(repository, "Second")
    result = fetch(tmp_path, str(repository))
    assert result.ok, result.reason
    assert git(tmp_path / "mirror", "log", "--format=%s", str(result.commit)).split() == ["Second", "First"]
