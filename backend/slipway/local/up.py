"""`slipway local up`: from a state folder with a release in it to a panel that answers, and an app that is live."""

import http.client
import ssl
import subprocess
import time

from slipway import settings as installed
from slipway.errors import Conflict, Unavailable
from slipway.local import blocks, cgroups, installation
from slipway.local.private_systemd import locked
from slipway.local.state import State
from slipway.local.world import World, choose, run_in
from slipway.settings import Mode, Settings

_PANEL_PATIENCE = 60.0
"""Seconds from the start of the units until the panel answers."""
_LONGEST_LINE = 400


def up(state: State, port: int | None, *, tls: bool = False) -> Settings:
    """Bring the installation up, whatever state it is in; with code that was changed under it, too."""
    world = choose(state)
    _say_what_is_weaker(world)
    with locked(state):
        settings, resumed = _begin(state, world, port, tls)
        python = str(settings.paths.current / "venv/bin/python")
        run_in(world, [python, "-I", "-m", "slipway.setup.provision", str(world.units)])
        _start_units(world, settings, fresh_code=resumed)
        _await_panel(state, world, settings)
    return settings


def begin(state: State, port: int | None = None) -> Settings:
    """Only systemd, with nothing of Slipway in it."""
    with locked(state):
        return _begin(state, choose(state), port)[0]


def _begin(state: State, world: World, port: int | None, tls: bool = False) -> tuple[Settings, bool]:
    """The settings, and whether the world ran already."""
    if world.is_running():
        settings = installed.load(state.settings)
        if port not in (None, settings.http.port):
            raise Conflict(
                f"this installation is running on port {settings.http.port}. To move it to {port}, stop it first: "
                f"{state.command} down"
            )
        if tls and not settings.http.tls:
            raise Conflict(f"this installation is running without TLS. Stop it first: {state.command} down")
        return settings, True
    with blocks.choosing():
        settings = installation.prepare(state, world.mode, port, tls=tls)
        world.begin()
    return settings, False


def _say_what_is_weaker(world: World) -> None:
    if world.mode is Mode.SESSION:
        print(
            "Slipway runs under your own systemd here, with your user for everything: apps and builds are not kept\n"
            "from each other or from your files, and all ends when you log out (unless `loginctl enable-linger`)."
        )
    elif missing := cgroups.missing_limits():
        print(f"This machine does not let Slipway limit {', '.join(missing)}: such limits of apps are not enforced.")


def _start_units(world: World, settings: Settings, *, fresh_code: bool) -> None:
    own = f"slipway-{settings.id}"
    systemctl = ["systemctl", "--user"]
    run_in(world, [*systemctl, "daemon-reload"])
    if fresh_code:
        run_in(world, [*systemctl, "restart", f"{own}-migrate.service"])
        run_in(world, [*systemctl, "try-restart", f"{own}-host.service", f"{own}-daemon.service"])
        run_in(world, [*systemctl, "reload", f"{own}-nginx.service"])
    run_in(world, [*systemctl, "start", f"{own}.target"])


def _await_panel(state: State, world: World, settings: Settings) -> None:
    deadline = time.monotonic() + _PANEL_PATIENCE
    answer = "nothing yet"
    while time.monotonic() < deadline:
        answer = _ask_panel(state, settings)
        if answer == "200":
            return
        time.sleep(0.1)
    raise Unavailable(
        f"the panel at {settings.panel_url} does not answer ({answer}). What its units said last:\n"
        f"{journal_tail(world, settings)}"
    )


def _ask_panel(state: State, settings: Settings) -> str:
    connection = _connection(state, settings)
    try:
        connection.request("GET", "/api/ping", headers={"Host": settings.panel_url.partition("//")[2]})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()


def _connection(state: State, settings: Settings) -> http.client.HTTPConnection:
    address, port = settings.http.address, settings.http.port
    if not settings.http.tls:
        return http.client.HTTPConnection(address, port, timeout=5)
    trusted = ssl.create_default_context(cafile=state.paths.tls / "certificate.pem")
    return http.client.HTTPSConnection(address, port, timeout=5, context=trusted)


def journal_tail(world: World, settings: Settings, *, lines: int = 60) -> str:
    """What the installation's own units said last."""
    field = "_SYSTEMD_USER_UNIT" if world.mode is Mode.SESSION else "_SYSTEMD_UNIT"
    names = ("postgresql", "migrate", "nginx", "host", "daemon")
    matches = [f"{field}=slipway-{settings.id}-{name}.service" for name in names]
    read = ["journalctl", "--no-pager", "--output=short", f"--lines={lines}", "--quiet", *matches]
    said = subprocess.run(world.entering(read), capture_output=True, text=True, check=False).stdout
    return "\n".join(line[:_LONGEST_LINE] for line in said.splitlines())
