"""From git's words to a sentence that says what happened and what to do."""

import re

_REASONS = (
    (r"could not resolve host", "The name of the repository's server cannot be resolved. Check the address."),
    (
        r"connection refused|failed to connect|connection timed out|could not connect|network is unreachable",
        "The repository's server cannot be reached. Check the address, and whether the server is up.",
    ),
    (
        r"could not read username|authentication failed|terminal prompts disabled|http basic: access denied| 403",
        "The repository is not there, or it is private: its server asks for a password, and Slipway has none for it.",
    ),
    (
        r"repository .*not found|does not appear to be a git repository|not found$| 404|does not exist",
        "There is no repository at this address. Was it moved, renamed or removed?",
    ),
    (r"permission denied", "Slipway may not read this repository. Make its folder readable for other users."),
    (r"ssl|certificate", "The certificate of the repository's server cannot be trusted, so nothing was fetched."),
    (
        r"operation too slow|rpc failed.*timeout|early eof|unexpected disconnect|remote end hung up",
        "The repository's server stopped sending in the middle of the transfer. Try again.",
    ),
    (r"transport '.*' not allowed", "This kind of address is not allowed."),
)
NO_BRANCH = "There is no branch"
"""What the reason begins with when only the branch is wrong."""
DISK_FULL = "The server's disk is full: the repository could not be fetched. Free some space, then deploy again."
_DISK_FULL = re.compile(r"no space left|disk quota exceeded", re.IGNORECASE)
_TOO_LARGE = re.compile(r"file size limit exceeded|file too large|died of signal 25", re.IGNORECASE)


def is_disk_full(words: str) -> bool:
    return _DISK_FULL.search(words) is not None


def is_too_large(words: str) -> bool:
    return _TOO_LARGE.search(words) is not None


def reason(words: str) -> str:
    """A sentence for what git said; its own last line where we know nothing better."""
    for pattern, sentence in _REASONS:
        if re.search(pattern, words, re.IGNORECASE | re.MULTILINE):
            return sentence
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    last = next((line for line in lines if line.startswith("fatal:")), lines[-1] if lines else "it said nothing")
    return f"Git could not fetch the repository: {last.removeprefix('fatal: ')[:300]}"
