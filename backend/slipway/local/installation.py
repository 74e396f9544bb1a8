"""An installation's settings file: made once in its state folder, kept, and changed only where asked."""

import msgspec

from slipway import settings as installed
from slipway.errors import Conflict, Unavailable
from slipway.local import blocks
from slipway.local.state import State
from slipway.settings import Http, Installation, Mode, Settings
from slipway.setup import files

DEFAULT_PORT = 8080
_PORTS_TRIED = 100


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
            installation=Installation(id=files.fresh_id(), mode=mode),
            http=Http(port=port or _free_port(), tls=tls),
            apps=block.apps,
            prefix=str(state.folder) if mode is Mode.SESSION else "",
        )
        wanted = settings
    _refuse_taken(wanted.http.port)
    files.write_settings(state.settings, wanted)
    files.make_key(state.paths.key)
    return wanted


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
