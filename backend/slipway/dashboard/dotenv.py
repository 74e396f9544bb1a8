"""A pasted .env file, read as its writers mean it: comments, `export`, quotes, values of several lines."""

import re

from slipway.errors import Invalid

_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?(?P<key>[A-Za-z_][A-Za-z0-9_]*)[ \t]*=[ \t]*")
_PLAIN = re.compile(r"[^\n]*")
_SINGLE = re.compile(r"'([^']*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_REST = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_SKIPPED = re.compile(r"[ \t]*(?:#[^\n]*)?(?:\n|\Z)")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


def parse_dotenv(text: str) -> dict[str, str]:
    """Key → value, the last of several with the same key. Nothing is expanded. Raises Invalid with the line."""
    found: dict[str, str] = {}
    at = 0
    while at < len(text):
        if (skipped := _SKIPPED.match(text, at)) and skipped.end() > at:
            at = skipped.end()
            continue
        assignment = _ASSIGNMENT.match(text, at)
        if assignment is None:
            raise _wrong(text, at, "it is not KEY=value")
        value, at = _value(text, assignment.end())
        found[assignment["key"]] = value
    return found


def _value(text: str, at: int) -> tuple[str, int]:
    """→ (the value that begins here, where the next line begins)."""
    for quote, pattern in (("'", _SINGLE), ('"', _DOUBLE)):
        if not text.startswith(quote, at):
            continue
        quoted = pattern.match(text, at)
        rest = _REST.match(text, quoted.end()) if quoted else None
        if quoted is None or rest is None:
            raise _wrong(text, at, f"its quotation mark {quote} is not closed at the end")
        value = quoted[1]
        return (_unescaped(value) if quote == '"' else value), rest.end()
    plain = _PLAIN.match(text, at)
    assert plain is not None, "the pattern matches nothing, too"
    return re.split(r"\s#", plain[0], maxsplit=1)[0].strip(), plain.end() + 1


def _unescaped(value: str) -> str:
    return re.sub(r"\\(.)", lambda escape: _ESCAPES.get(escape[1], escape[0]), value, flags=re.DOTALL)


def _wrong(text: str, at: int, why: str) -> Invalid:
    line = text.count("\n", 0, at) + 1
    return Invalid(f"Line {line} of what was pasted cannot be read: {why}.", field="pasted")
