"""An installation's settings file: made once in its state folder, kept, and changed only where asked."""

import json
import os
import secrets
import string
from pathlib import Path

import msgspec

from slipway import settings as installed
from slipway.errors import Conflict, Unavailable
from slipway.local import blocks
from slipway.local.state import State
from slipway.settings import Http, Installation, Mode, Settings

DEFAULT_PORT = 8080
_PORTS_TRIED = 100
_KEY_BYTES = 32


def prepare(state: State, mode: Mode, port: int | None, *, tls: bool = False) -> Settings:
    """Read the installation's settings, or make them; give it the port, and TLS, where asked for.

    Call only while it does not run. Raises Conflict where another mode or a running installation is in the way,
    Unavailable where a port is taken.
    """
    state.make_folders()
    if state.settings.exists():
        settings = installed.load(state.settings)
        _refuse_another_mode(state, settings, mode)
        wanted = _with_http(settings, port or settings.http.port, tls or settings.http.tls)
        _refuse_held(settings)
    else:
        block = blocks.choose(state.folder.resolve())
        settings = Settings(
            installation=Installation(id=_fresh_id(), mode=mode),
            http=Http(port=port or _free_port(), tls=tls),
            apps=block.apps,
            prefix=str(state.folder) if mode is Mode.SESSION else "",
        )
        wanted = settings
    _refuse_taken(wanted.http.port)
    write(state.settings, wanted)
    _make_key(state.paths.key)
    return wanted


def _fresh_id() -> str:
    return "".join(secrets.choice(string.ascii_lowercase + string.digits) for _ in range(4))


def _with_http(settings: Settings, port: int, tls: bool) -> Settings:
    return msgspec.structs.replace(settings, http=msgspec.structs.replace(settings.http, port=port, tls=tls))


def _free_port() -> int:
    taken = blocks.listening_ports()
    for port in range(DEFAULT_PORT, DEFAULT_PORT + _PORTS_TRIED):
        if port not in taken:
            return port
    raise Unavailable(f"each port from {DEFAULT_PORT} to {port} is taken. Choose a free one with --port.")


def _refuse_taken(port: int) -> None:
    if port in blocks.listening_ports():
        raise Unavailable(f"something else listens on port {port} of this machine. Choose another with --port.")


def _refuse_another_mode(state: State, settings: Settings, mode: Mode) -> None:
    if settings.mode is not mode:
        raise Conflict(
            f"{state.folder} was made in {settings.mode} mode and cannot go on in {mode} mode: its files belong to "
            "other users. Start it as the user who made it, or choose another folder with --state."
        )


def _refuse_held(settings: Settings) -> None:
    other = blocks.holder(blocks.of(settings.apps))
    if other not in (None, settings.id):
        raise Conflict(
            f"the installation {other}, running on this machine, uses the same ports ({settings.apps.first_port} and "
            "above) and user ids. Stop it first with its own `slipway down`."
        )


def write(path: Path, settings: Settings) -> None:
    _replace(path, to_toml(settings).encode(), mode=0o644)


def to_toml(settings: Settings) -> str:
    """The settings as TOML. A string of ours is written the same in TOML as in JSON."""
    plain = msgspec.to_builtins(settings)
    lines = ["# What this installation of Slipway is. Written by its installer; it holds no secret."]
    lines += [f"{key} = {json.dumps(value)}" for key, value in plain.items() if not isinstance(value, dict)]
    for section, fields in plain.items():
        if isinstance(fields, dict):
            lines += ["", f"[{section}]", *(f"{key} = {json.dumps(value)}" for key, value in fields.items())]
    return "\n".join(lines) + "\n"


def _make_key(path: Path) -> None:
    """The key that variables are encrypted with. Losing it is losing them, so it is never made twice."""
    if not path.exists():
        _replace(path, secrets.token_bytes(_KEY_BYTES), mode=0o600)


def _replace(path: Path, content: bytes, *, mode: int) -> None:
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
