"""`slipway local up`: from a state folder with a release in it to a panel that answers, and an app that is live."""

from slipway import settings as installed
from slipway.errors import Conflict
from slipway.local import blocks, cgroups, installation
from slipway.local.private_systemd import locked
from slipway.local.state import State
from slipway.local.world import choose
from slipway.settings import Mode, Settings
from slipway.setup import starting
from slipway.setup.world import World


def up(state: State, port: int | None, *, tls: bool = False) -> Settings:
    """Bring the installation up, whatever state it is in; with code that was changed under it, too."""
    world = choose(state)
    _say_what_is_weaker(world)
    with locked(state):
        settings, resumed = _begin(state, world, port, tls)
        starting.provision(world, settings)
        starting.start_units(world, settings, fresh_code=resumed)
        starting.await_panel(state.paths.tls, world, settings)
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
