"""slipway certificates"""

from typing import Any

import click

from slipway.cli import exits, options
from slipway.cli.client import Client, CliError
from slipway.cli.output import print_json, print_table, say


@click.group("certificates")
def certificates() -> None:
    """Certificates of the panel's and the apps' names."""


@certificates.command("list")
@options.as_json
def list_certificates(as_json: bool) -> None:
    """How each stands, and until when it is good."""
    found = Client().get("certificates")
    if as_json:
        print_json(found)
        return
    rows = [[one["hostname"], _whose(one), one["state"], _until(one), one["reason"] or ""] for one in found]
    print_table(["Name", "Of", "State", "Good until", ""], rows, "There is none.")


@certificates.command("renew")
@click.argument("name")
@options.environment
@options.as_json
def renew(name: str, environment: str, as_json: bool) -> None:
    """Have one obtained anew, now: NAME is an app, or the name itself. What is there is served meanwhile."""
    client = Client()
    one = _find(client.get("certificates"), name, environment)
    if one["app"] is None:
        changed = client.post("certificates", "panel", "renew")
    else:
        changed = client.post("apps", one["app"], "environments", one["environment"], "certificate", "renew")
    if as_json:
        print_json(changed)
        return
    say(f"The certificate of {changed['hostname']} is being obtained. `slipway certificates list` shows how it stands.")


def describe(one: dict[str, Any]) -> str:
    """How a certificate stands, in a sentence."""
    if one["served"]:
        words = f"from {one['issuer']}, good until {_until(one)}"
        return f"{words}; the last attempt to renew it failed: {one['reason']}" if one["state"] == "failed" else words
    if one["state"] == "off":
        return f"the installation's own. {one['reason']}"
    if one["state"] == "failed":
        return f"the installation's own, since none could be obtained: {one['reason']}"
    return "the installation's own, until one has been obtained"


def _find(found: list[dict[str, Any]], name: str, environment: str) -> dict[str, Any]:
    for one in found:
        if one["hostname"] == name or (one["app"] == name and one["environment"] == environment):
            return one
    raise CliError(f"There is no certificate of {name!r}. `slipway certificates list` shows all.", exits.NOT_FOUND)


def _whose(one: dict[str, Any]) -> str:
    return f"{one['app']} ({one['environment']})" if one["app"] else "the panel"


def _until(one: dict[str, Any]) -> str:
    return one["not_after"].replace("T", " ")[:16] if one["not_after"] else ""
