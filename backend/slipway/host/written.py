"""What Slipway wrote, and which sites nginx can serve: what a person changed must not keep it from starting.

    written.py NGINX CONFIGURATION SITES GOOD LIST LEFT_OUT start|reload

Run as root before nginx starts and before each reload, with the system's Python and nothing but its standard library.
LIST is what nginx includes: a line for each site of Slipway's in SITES (`<environment>.conf`, which it signed, or of
which there is a copy in GOOD; whatever else lies there is no site). One that a person changed is tried first; where
nginx refuses it, the copy stands in for it, which nginx served before. LEFT_OUT says which those are, and what nginx
said: `{"<file>": "its words"}`.
"""

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

SIGNATURE = re.compile(r"# Written by Slipway, sha256 ([0-9a-f]{64})\n\Z")
SITE = re.compile(r"[1-9][0-9]{0,15}\.conf")
TRY_SECONDS = 45
"""Well below what systemd gives nginx for its start."""
TEST_SECONDS = 60
MAX_SIZE = 4_194_304


def sign(text: str) -> str:
    """The text with a last line by which it is known whether somebody changed it since."""
    return f"{text}# Written by Slipway, sha256 {_digest(text)}\n"


def signature(text: str) -> "str | None":
    """The digest of what Slipway wrote, by the file's last line; None where it has none."""
    found = SIGNATURE.search(text)
    return found[1] if found else None


def is_own(text: str) -> bool:
    """Whether this is word for word what Slipway wrote."""
    found = SIGNATURE.search(text)
    return found is not None and found[1] == _digest(text[: found.start()])


def read(path: str) -> "str | None":
    """The text of a regular file; None where it is none, or no text."""
    content = read_bytes(path, MAX_SIZE)
    try:
        return None if content is None else content.decode()
    except UnicodeDecodeError:
        return None


def read_bytes(path: str, limit: int) -> "bytes | None":
    """What a regular file holds, `limit` bytes at most; None for whatever else is there. No link is followed."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return file.read(limit)
    finally:
        os.close(descriptor)


def main(argv: "list[str]") -> None:
    nginx, configuration, folder, good, listed, left_out, occasion = argv[1:8]

    def refusal(files: "dict[str, str]") -> "str | None":
        """What nginx has against these sites; None: nothing. The list is written with them."""
        _replace(listed, "".join(f"include {files[name]};\n" for name in sorted(files, key=_number)))
        ended = subprocess.run(
            [nginx, "-t", "-q", "-e", "stderr", "-c", configuration],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TEST_SECONDS,
            check=False,
        )  # fmt: skip
        return None if ended.returncode == 0 else ended.stderr.decode(errors="replace").strip()[-2000:]

    whole, changed, copies = find_sites(folder, good)
    _replace(listed, "".join(f"include {file};\n" for file in (whole | changed).values()))
    was_refused = json.loads(read(left_out) or "{}")
    refused: dict[str, str] = {}
    if occasion == "start" or changed or was_refused:
        refused = leave_out(refusal, whole, changed, copies)
    _replace(left_out, json.dumps(refused))


def find_sites(folder: str, good: str) -> "tuple[dict[str, str], dict[str, str], dict[str, str]]":
    """Name → file: of sites as Slipway wrote them, of those changed since, and of the copies that can stand in."""
    whole, changed, copies = {}, {}, {}
    for name in {name for place in (folder, good) if os.path.isdir(place) for name in os.listdir(place)}:
        if not SITE.fullmatch(name):
            continue
        file, copy = os.path.join(folder, name), os.path.join(good, name)
        if is_own(read(file) or ""):
            whole[name] = file
        elif is_own(read(copy) or ""):
            if os.path.lexists(file):
                changed[name], copies[name] = file, copy
            else:
                whole[name] = copy
    return whole, changed, copies


def leave_out(
    refusal: "Callable[[dict[str, str]], str | None]", whole: "dict[str, str]", changed: "dict[str, str]",
    copies: "dict[str, str]",
) -> "dict[str, str]":  # fmt: skip
    """Leave out as little as nginx needs to start. → file → what nginx said of it.

    By halves, because what nginx says does not always name the site: a certificate that it includes, say.
    """
    wanted = whole | changed
    if refusal(wanted) is None:
        return {}
    if refusal({}) is not None:
        refusal(wanted)
        return {}  # what is wrong is no site's
    chosen: dict[str, str] = {}
    refused: dict[str, str] = {}
    deadline = time.monotonic() + TRY_SECONDS

    def add(files: "dict[str, str]") -> None:
        words = refusal(chosen | files) if time.monotonic() < deadline else "there was no time to look at each"
        if words is None:
            chosen.update(files)
        elif len(files) == 1 or time.monotonic() >= deadline:
            refused.update(dict.fromkeys(files.values(), words))
        else:
            names = sorted(files)
            for half in (names[: len(names) // 2], names[len(names) // 2 :]):
                add({name: files[name] for name in half})

    add(whole | copies)
    if changed:
        add(changed)
    refusal(chosen)
    return refused


def _number(name: str) -> int:
    return int(name[: -len(".conf")])


def _replace(path: str, text: str) -> None:
    scratch = path + ".new"
    with open(scratch, "w", encoding="utf-8") as file:
        file.write(text)
    os.rename(scratch, path)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


if __name__ == "__main__":
    main(sys.argv)
