"""What a repository's address, branch and base directory may be."""

import pytest

from slipway.errors import Invalid
from slipway.repository import check_base_directory, check_branch, check_commit, check_repository
from slipway.settings import Mode

HOSTILE = [
    "",
    "ext::sh -c id",
    "--upload-pack=touch /tmp/canary",
    "-u./x",
    "https://example.com/a b",
    "https://example.com/a;id",
    "https://example.com/$(id)",
    "https://example.com/a\nb",
    "https://example.com/a\0b",
    "https://example.com/../../etc",
    "https://example.com/%2e%2e/x",
    "https://user:secret@example.com/a",
    "https://exa mple.com/a",
    "https://example.com:99999/a",
    "https:///a",
    "https://-example.com/a",
    "https://example.com/-a",
    "file:///etc",
    "ftp://example.com/a",
    "git@example.com:a/b",
    "fd::17",
    "https://example.com/a" + "a" * 3000,
]


@pytest.mark.parametrize("address", HOSTILE)
@pytest.mark.parametrize("mode", list(Mode))
def test_a_hostile_address_is_refused(address: str, mode: Mode) -> None:
    with pytest.raises(Invalid):
        check_repository(address, mode)


@pytest.mark.parametrize("address", ["/srv/repo", "http://localhost:3000/a/b.git", "http://127.0.0.1/a"])
def test_this_machine_is_a_place_for_repositories_in_local_mode_only(address: str) -> None:
    assert check_repository(address, Mode.LOCAL) == address
    with pytest.raises(Invalid):
        check_repository(address, Mode.SERVER)


@pytest.mark.parametrize("address", ["/srv/../etc", "/srv/$(id)", "/srv/a;b", "/-a", "/srv/a\nb", "http://10.0.0.1/a"])
def test_odd_paths_and_other_machines_without_tls_are_refused_in_local_mode_too(address: str) -> None:
    with pytest.raises(Invalid):
        check_repository(address, Mode.LOCAL)


def test_an_ordinary_address_is_fine() -> None:
    for address in ("https://github.com/a/b", "https://git.example.com:8443/~me/b_c.git"):
        assert check_repository(address, Mode.SERVER) == address


@pytest.mark.parametrize("name", ["main", "feature/x-1", "release/2.0", "a#1", "dependabot/npm_and_yarn/a-1.0"])
def test_an_ordinary_branch_is_fine(name: str) -> None:
    assert check_branch(name) == name


@pytest.mark.parametrize(
    "name",
    ["", "-a", "--upload-pack=x", "a..b", "a b", "a\nb", "a\0b", ".a", "a/.b", "a/-b", "a.lock", "a.", "a//b", "/a",
     "a/", "@{1}", "a@{1}", "HEAD", "a;id", "$(id)", "`id`", "a'b", 'a"b', "a{b}", "a~1", "a^", "a:b", "a?", "a*",
     "a[b", "a\\b", "x" * 300],
)  # fmt: skip
def test_a_branch_that_git_or_anything_after_it_could_misread_is_refused(name: str) -> None:
    with pytest.raises(Invalid):
        check_branch(name)


@pytest.mark.parametrize(
    "path", ["..", "../a", "a/../b", "/etc", "-a", "a/-b", "a\nb", "a\0", "a;b", "$(id)", ".git", "a/.git"]
)
def test_a_base_directory_outside_the_repository_is_refused(path: str) -> None:
    with pytest.raises(Invalid):
        check_base_directory(path)


def test_a_base_directory_is_tidied() -> None:
    assert [check_base_directory(path) for path in ("", ".", "./a/", "apps/web")] == ["", "", "a", "apps/web"]


@pytest.mark.parametrize("commit", ["", "abc", "g" * 40, "a" * 39, "--all", "a" * 40 + "\n"])
def test_a_commit_is_forty_hex_digits(commit: str) -> None:
    with pytest.raises(Invalid):
        check_commit(commit)
