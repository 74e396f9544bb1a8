"""The files that make an installation what it is: its settings, and the key that it encrypts with."""

import json
import os
import secrets
import string
from pathlib import Path

import msgspec

from slipway.settings import Settings

_KEY_BYTES = 32


def fresh_id() -> str:
    """An installation's id: in every name that two of them on one machine could share."""
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(4))


def write_settings(path: Path, settings: Settings) -> None:
    replace(path, to_toml(settings).encode(), mode=0o644)


def to_toml(settings: Settings) -> str:
    """The settings as TOML. A string of ours is written the same in TOML as in JSON."""
    plain = msgspec.to_builtins(settings)
    lines = ["# What this installation of Slipway is. Written by its installer; it holds no secret."]
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items() if not isinstance(value, dict)]
    for section, fields in plain.items():
        if isinstance(fields, dict):
            there = {key: value for key, value in fields.items() if value is not None}
            lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in there.items())]
    return "\n".join(lines) + "\n"


def make_key(path: Path) -> None:
    """The key that variables are encrypted with. Losing it is losing them, so it is never made twice."""
    if not path.exists():
        replace(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)


def replace(path: Path, content: bytes, *, mode: int) -> None:
    """Write a file so that a cut of power leaves the old or the new one, whole."""
    scratch = path.with_name(path.name + ".new")
    descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, mode)
        file.write(content)
        file.flush()
        os.fsync(descriptor)
    scratch.rename(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
