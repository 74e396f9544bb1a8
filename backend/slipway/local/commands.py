"""`slipway local up|down|status|enter|boot-systemd`: what install.sh and the printed `slipway` call."""

import argparse
import os
import sys
from pathlib import Path

from slipway import settings as installed
from slipway.errors import SlipwayError
from slipway.local import first_app
from slipway.local.private_systemd import locked
from slipway.local.state import State
from slipway.local.up import begin, up
from slipway.local.world import choose

_VERBS = {
    "up": "start it, or bring a running one to the code that is there now",
    "down": "stop everything; the folder stays",
    "status": "say whether it runs, and where",
    "enter": "run a command in the installation's world, as its root",
    "boot-systemd": "start only systemd, with nothing of Slipway in it",
}


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments, State(arguments.state))
    except SlipwayError as error:
        print(f"slipway: {error.message}", file=sys.stderr)
        return 1


def _run(arguments: argparse.Namespace, state: State) -> int:
    match arguments.verb:
        case "up":
            settings = up(state, arguments.port, tls=arguments.tls)
            if arguments.example is not None:
                first_app.put_live(state, settings, arguments.example)
            first_app.say_what_is_next(state, settings)
        case "down":
            return _down(state)
        case "status":
            return _status(state)
        case "enter":
            command = choose(state).entering(arguments.command or ["bash"])
            os.execvp(command[0], command)  # noqa: S606  what the operator typed
        case "boot-systemd":
            begin(state)
    return 0


def _down(state: State) -> int:
    if not state.settings.exists():
        print(f"There is no Slipway in {state.folder}.", file=sys.stderr)
        return 1
    with locked(state):
        choose(state).end()
    print(
        f"Stopped. Everything of it is still in {state.folder}; ./install.sh --try --state {state.folder} resumes it."
    )
    return 0


def _status(state: State) -> int:
    if not state.settings.exists():
        print(f"There is no Slipway in {state.folder}.")
        return 1
    running = choose(state).is_running()
    print(f"{installed.load(state.settings).panel_url}  {'running' if running else 'stopped'}  {state.folder}")
    return 0 if running else 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway local", description="Slipway on this machine, in one folder.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in _VERBS.items():
        command = verbs.add_parser(verb, help=text, description=text)
        command.add_argument("--state", type=Path, default=Path(".slipway"), help="the installation's folder")
        if verb == "enter":
            command.add_argument("command", nargs="*", metavar="COMMAND", help="after --")
        if verb == "up":
            command.add_argument("--port", type=_port, help="that browsers use; 8080 or the next free one if not given")
            command.add_argument("--tls", action="store_true", help="serve HTTPS, with a certificate of its own making")
            command.add_argument(
                "--example", type=Path, help="an app's folder to put live as `hello`, if none is there"
            )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)
