"""Where a repository may be, and which branch names Git can have: allow-lists, never escaping."""

import ipaddress
import re
from urllib.parse import urlsplit

from slipway.errors import Invalid
from slipway.settings import Mode

MAX_LENGTH = 2048
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z", re.IGNORECASE)
_URL_PATH = re.compile(r"(?:/[A-Za-z0-9~_+][A-Za-z0-9._~+@-]*)+/?\Z")
_FILE_PATH = re.compile(r"(?:/[A-Za-z0-9_.][A-Za-z0-9._@+ -]*)+/?\Z")
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/#+@=-]{0,254}\Z")
_BASE = re.compile(r"[A-Za-z0-9_@.][A-Za-z0-9._@+ -]*(?:/[A-Za-z0-9_@.][A-Za-z0-9._@+ -]*)*\Z")


def check_repository(address: str, mode: Mode) -> str:
    """Check a repository's address; → the address.

    `https://host[:port]/path`; in local mode also `http://` on this machine and an absolute path on it. Nothing
    else of what Git understands: `ext::`, `file://`, options and credentials inside the address are refused.
    """
    if len(address) > MAX_LENGTH:
        raise _refused(f"it is longer than {MAX_LENGTH} characters")
    local = mode is not Mode.SERVER
    if local and address.startswith("/"):
        if not _FILE_PATH.match(address) or ".." in address.split("/"):
            raise _refused("a path may hold letters, digits, spaces and . _ @ + - only, and no `..`")
        return address.rstrip("/") or "/"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        raise _refused("it is not an address") from error
    if not address.isprintable() or " " in address:
        raise _refused("it holds spaces or control characters")
    if parts.scheme not in ("https", "http"):
        raise _refused("it must begin with https://" + (" or be a whole path on this machine, from /" if local else ""))
    host = parts.hostname or ""
    if parts.scheme == "http" and not (local and _is_loopback(host)):
        raise _refused("http:// can be read and changed on its way; use https://")
    if "@" in parts.netloc:
        raise _refused("it holds a user name or password; a repository that needs one cannot be reached yet")
    if parts.query or parts.fragment or "%" in address:
        raise _refused("it must be the plain address that `git clone` takes, without ?, # or %")
    if not (_HOST.match(host) or _is_loopback(host)) or (port is not None and not 1 <= port <= 65535):
        raise _refused("its host name is not one")
    if not _URL_PATH.match(parts.path) or ".." in parts.path.split("/"):
        raise _refused("its path may hold letters, digits and . _ ~ + @ - only, and no part may begin with - or .")
    return address


def check_branch(name: str) -> str:
    """Check a branch's name: git-check-ref-format(1), and only characters that need no care anywhere."""
    parts = name.split("/")
    if (
        not _BRANCH.match(name)
        or ".." in name
        or "@{" in name
        or name == "HEAD"
        or any(not part or part.startswith(("-", ".")) or part.endswith((".lock", ".")) for part in parts)
    ):
        raise Invalid(
            "A branch's name has letters, digits and . _ / # + @ = - and does not begin with a dash or dot.",
            field="branch",
        )
    return name


def check_base_directory(path: str) -> str:
    """Check a base directory: a relative path, empty for the repository's root; → without a trailing slash."""
    path = path.removeprefix("./").rstrip("/")
    if path in ("", "."):
        return ""
    if len(path) > 1024 or not _BASE.match(path) or any(part in ("..", ".", ".git") for part in path.split("/")):
        raise Invalid(
            "A base directory is a path inside the repository, such as `apps/web`: no leading slash, no `..`.",
            field="base_directory",
        )
    return path


def check_commit(commit: str) -> str:
    """Check a commit's id: all forty hex digits."""
    commit = commit.lower()
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        raise Invalid("A commit is given by all forty hex digits of its id.", field="commit")
    return commit


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _refused(why: str) -> Invalid:
    return Invalid(f"This repository's address cannot be used: {why}.", field="repository")
