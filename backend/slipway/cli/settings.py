"""slipway settings"""

from typing import Any

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import print_json, print_table, say

_WORDS = {"true": True, "false": False}


@click.command("settings")
@click.argument("app")
@click.argument("assignments", nargs=-1, metavar="[KEY=VALUE…]")
@click.option("--branch", metavar="B", help="The branch that the environment deploys; '' for the app's.")
@options.environment
@options.as_json
def settings(app: str, assignments: tuple[str, ...], branch: str | None, environment: str, as_json: bool) -> None:
    """How an environment is built, checked, switched and limited: show it, or change it.

    `KEY=` alone makes a setting automatic again.
    """
    client = Client()
    where = ("apps", app, "environments", environment)
    present = client.get(*where)["settings"]
    if not assignments and branch is None:
        _show(present, as_json)
        return
    wanted: dict[str, object] = {"settings": dict(_assignment(one, present) for one in assignments)}
    if branch is not None:
        wanted["branch"] = branch or None
    changed = client.request("PATCH", where, body=wanted)["settings"]
    if as_json:
        print_json(changed)
        return
    if assignments:
        say("Done. If a release is live, a new one with these settings is on its way (no build).")
    else:
        say("Done.")
    say(f"What changes the build itself counts from the next one on: slipway deploy {app}")


def _show(found: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    print_table(["Setting", "Value"], [[key, _shown(value)] for key, value in found.items()], "")


def _shown(value: Any) -> str:
    if value is None:
        return "(automatic)"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _assignment(text: str, present: dict[str, Any]) -> tuple[str, str | int | bool | None]:
    """The value is read as what the setting is now, so that a command may be `true`; Slipway refuses the rest."""
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is not KEY=VALUE.")
    if value == "":
        return key, None
    if isinstance(present.get(key), bool):
        return key, _WORDS.get(value.lower(), value)
    if isinstance(present.get(key), int) and value.isascii() and value.isdigit() and len(value) < 16:
        return key, int(value)
    return key, value
