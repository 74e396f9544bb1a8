"""Host names by grammar, and git's words made plain."""

import pytest

from slipway.host.agent.sites import HOSTNAME
from slipway.host.fetcher.git import configuration
from slipway.host.fetcher.reasons import is_too_large, reason


@pytest.mark.parametrize("name", ["a", "app.localhost", "a-b.example.org", "xn--bcher-kva.example", "1.2"])
def test_a_host_name_is_taken(name: str) -> None:
    assert HOSTNAME.fullmatch(name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "a..b", ".a", "a.", "A", "a_b", "a b", "a;", "*.a", "a" * 64, "a\n"])
def test_what_is_no_host_name_is_not(name: str) -> None:
    assert not HOSTNAME.fullmatch(name)


def test_git_may_use_the_listed_transports_and_no_other() -> None:
    text = configuration(("https",))
    assert '[protocol]\n\tallow = never\n[protocol "https"]\n\tallow = always\n' in text
    assert "hooksPath = /dev/null" in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("fatal: unable to access 'https://x/': Could not resolve host: x", "cannot be resolved"),
        ("fatal: '/x' does not appear to be a git repository", "no repository at this address"),
        ("fatal: could not read Username for 'https://x': terminal prompts disabled", "private"),
        ("fatal: transport 'ext' not allowed", "not allowed"),
        ("fatal: something new", "something new"),
        ("", "said nothing"),
    ],
)
def test_a_failed_fetch_is_told_in_plain_words(words: str, said: str) -> None:
    assert said in reason(words)


def test_a_file_that_grew_too_large_is_told_from_other_ends() -> None:
    assert is_too_large("error: died of signal 25")
    assert not is_too_large("fatal: not found")
