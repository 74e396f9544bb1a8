"""Requests to the host agent as somebody would send them who has taken the daemon over.

Made from the protocol's own types: a verb that is new is among them by itself. Each case is one whole right request
with one thing in it wrong, foreign or strange, or bytes that are no request at all.
"""

import json
import random
import struct
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from slipway.host.protocol import MAX_FRAME, Request, Verb

MARK = "foreigntext"
"""In every hostile text: where it is found later, a text of the daemon's became part of a unit or a site."""

VERBS: tuple[type[Verb], ...] = get_args(Request)

NUMBERS = [
    -1,
    0,
    1,
    2,
    3,
    7,
    64,
    65,
    1000,
    1001,
    65536,
    2**31,
    2**31 + 1,
    2**53,
    2**53 + 1,
    2**63,
    2**64,
    10**40,
    -(2**63),
]
OTHER_KINDS = [None, True, 1.5, -0.0, 1e308, "", "1", [], [[]], {}, {"a": 1}, [None], {"": {}}]


def hostile_texts(nest: str) -> list[str]:
    """Each would leave something in `nest` if a shell, systemd, nginx, Git or Jinja took it for its own."""
    touch = f"touch {nest}/{MARK}"
    return [
        f"$({touch})", f"`{touch}`", f";{touch};", f"| {touch} #", f"'; {touch}; '", f'"; {touch}; "',
        f"x\n{touch}\n", f"x\nExecStartPre=+/bin/sh -c '{touch}'", f"x\r\nUser=root\r\nExecStart={MARK}",
        f"x\n[Service]\nUser=root #{MARK}", f"x; }} server {{ listen 1; root /; }} # {MARK}", f"%n%i{MARK}",
        f"{{{{ {MARK} }}}}", f"{{% raw %}}{MARK}", f"--upload-pack={touch}", f"-oProxyCommand={touch}",
        f"ext::sh -c {touch}", f"file:///{MARK}", f"../../../../etc/cron.d/{MARK}", f"/etc/cron.d/{MARK}",
        f"a/../../{MARK}", "..", ".", "/", "//", f"x\0{MARK}", f"\0{MARK}", f"{MARK}/", f"{MARK}.service",
        f"{MARK}\N{RIGHT-TO-LEFT OVERRIDE}", f"\N{KELVIN SIGN}{MARK}", f"ﬁ{MARK}", f"٣{MARK}", "\x1b]0;x\x07",
        MARK * 4000, "/" * 5000, "a" * 32, f"{MARK} {MARK}", f"${{IFS}}{MARK}", f"-{MARK}", f"{MARK}\t",
        f"1-slipway-{MARK}.service", f"../1-slipway-{MARK}.service",
    ]  # fmt: skip


@dataclass(frozen=True)
class Case:
    said: str
    """What is wrong with it."""
    body: bytes
    foreign: bool = False
    """Whether it names things of two environments: never to be done."""


class Requests:
    """`own` and `other` are right values by field name, of two environments; everything is asked of `own`."""

    def __init__(self, own: dict[str, Any], other: dict[str, Any], nest: str) -> None:
        self._own, self._other = own, other
        self._texts = hostile_texts(nest)

    def right(self, verb: type[Verb]) -> dict[str, Any]:
        """A whole request that the protocol takes."""
        tag = verb.__struct_config__.tag
        return {"verb": tag, **self._right_struct(verb)}

    # ---- one thing wrong at a time

    def with_one_wrong(self) -> Iterator[Case]:
        for verb in VERBS:
            right = self.right(verb)
            for path, annotation in _fields(verb):
                for value in self._wrong(annotation):
                    yield _case(f"{right['verb']}: {'.'.join(path)}", right, path, value)
            for name in right:
                less = {key: value for key, value in right.items() if key != name}
                yield Case(f"{right['verb']} without {name}", _encode(less))
            yield Case(f"{right['verb']} with one field more", _encode(right | {"command": MARK}))
            yield Case(f"{right['verb']} as a list", _encode(list(right.values())))

    def with_foreign_things(self) -> Iterator[Case]:
        """What belongs to another environment, in a request of one's own."""
        for verb in VERBS:
            right = self.right(verb)
            names = set(right) | {field.name for field in msgspec.structs.fields(verb)}
            bound = names & {"place", "build", "previous_build"}
            if "environment" not in names or not bound:
                continue
            whole = right | {name: self._own[name] for name in names if name in self._own}
            for name in sorted(bound | {"environment"}):
                yield Case(
                    f"{right['verb']}: another's {name}", _encode(whole | {name: self._other[name]}), foreign=True
                )

    # ---- several things wrong, by chance

    def by_chance(self, chance: random.Random, count: int) -> Iterator[Case]:
        for _ in range(count):
            verb = chance.choice(VERBS)
            request = self.right(verb)
            fields = list(_fields(verb))
            for path, annotation in chance.sample(fields, min(len(fields), chance.randint(1, 3))):
                request = _with(request, path, chance.choice(self._wrong(annotation)))
            body = _encode(request)
            said = f"{request['verb']} by chance"
            match chance.randrange(4):
                case 0:  # bytes changed
                    changed = bytearray(body)
                    for _ in range(chance.randint(1, 5)):
                        changed[chance.randrange(len(changed))] = chance.randrange(256)
                    body = bytes(changed)
                case 1:  # cut
                    body = body[: chance.randrange(len(body))]
                case 2:  # a key twice
                    name = chance.choice([key for key in request if key != "verb"] or ["verb"])
                    value = json.dumps(chance.choice(self._texts))
                    body = body[:-1] + f",{json.dumps(name)}:{value}}}".encode()
            yield Case(said, body)

    def strange(self) -> Iterator[Case]:
        """What is hardly a request."""
        for body in (
            b"", b"null", b"[]", b"{}", b'""', b"0", b"{" * 10_000, b"[" * 1_000_000, b'{"a":' * 100_000,
            b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b',"verb":"status"}', b'{"verb":null}', b'{"verb":[]}',
            b'{"verb":"STATUS"}', b'{"verb":"status","verb":"read-key"}', b'{"verb":"status"}{"verb":"status"}',
            b'\xef\xbb\xbf{"verb":"status"}', '{"verb":"status"}'.encode("utf-16"), b'{"verb":"\xff"}',
            b'{"verb":"start-fetch","id":1,"app":1,"repository":"\xed\xa0\x80","branch":"m"}',
            b'{"verb":"start-fetch","id":1,"app":1,"repository":"\\ud800","branch":"m"}',
            b'{"verb":"put-site","environment":1,"place":1,"hostnames":["\xc0\x80"],"static":false}',
            b'{"verb":"find-work","kind":"build","id":1' + b"0" * 100_000 + b"}", b"\0" * 1000,
            b'{"verb":"exits","acknowledge":[' + b",".join([b'"../x"'] * 200_000) + b"]}",
            b'{"verb":"remove-mirror","app":NaN}', b'{"verb":"remove-mirror","app":1e400}', b" " * 1_000_000,
            b'{"verb":"' + b"x" * (MAX_FRAME - 100) + b'"}',
        ):  # fmt: skip
            yield Case(f"{body[:60]!r} ({len(body)} bytes)", body)

    # ---- values

    def _right_struct(self, struct_type: type[msgspec.Struct]) -> dict[str, Any]:
        hints = get_type_hints(struct_type, include_extras=True)
        return {
            field.encode_name: self._right_value(field.name, hints[field.name])
            for field in msgspec.structs.fields(struct_type)
            if field.required
        }

    def _right_value(self, name: str, annotation: Any) -> Any:
        struct_type = _struct_in(annotation)
        made = [self._right_struct(struct_type)] if struct_type else []
        for value in [
            *([self._own[name]] if name in self._own else []),
            *made,
            1,
            "a",
            "0" * 40,
            "build",
            [],
            {},
            False,
        ]:
            try:
                msgspec.convert(value, annotation)
            except msgspec.ValidationError:
                continue
            return value
        raise AssertionError(f"say in the test what a right value of `{name}` is")

    def _wrong(self, annotation: Any) -> list[Any]:
        inner = _inside(annotation)
        texts: list[Any] = list(self._texts)
        values = texts + NUMBERS + OTHER_KINDS
        if inner is not None:  # a list or a dict
            values += [[text] for text in texts] + [{text: "x"} for text in texts] + [{"A": text} for text in texts]
            values += [["a"] * 5000, {f"A{number}": "x" for number in range(5000)}, {"A": "x" * 2_000_000}]
        return values


def _fields(struct_type: type[msgspec.Struct], above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every field, and those of what it holds: (path, annotation)."""
    hints = get_type_hints(struct_type, include_extras=True)
    for field in msgspec.structs.fields(struct_type):
        yield (*above, field.encode_name), hints[field.name]
        if (held := _struct_in(hints[field.name])) is not None:
            yield from _fields(held, (*above, field.encode_name))


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    if get_origin(annotation) is Annotated:
        return _struct_in(get_args(annotation)[0])
    return annotation if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct) else None


def _inside(annotation: Any) -> Any:
    if get_origin(annotation) is Annotated:
        return _inside(get_args(annotation)[0])
    if get_origin(annotation) in (typing.Union, types.UnionType):
        return next((found for one in get_args(annotation) if (found := _inside(one))), None)
    return annotation if get_origin(annotation) in (tuple, list, dict) else None


def _with(request: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    first, *rest = path
    inner = request.get(first)
    return request | {first: _with(inner if isinstance(inner, dict) else {}, tuple(rest), value) if rest else value}


def _case(said: str, right: dict[str, Any], path: tuple[str, ...], value: Any) -> Case:
    return Case(f"{said} = {repr(value)[:80]}", _encode(_with(right, path, value)))


def _encode(request: object) -> bytes:
    return json.dumps(request).encode()


def framed(body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + body
