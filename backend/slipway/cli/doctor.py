"""slipway doctor: what is wrong, in one list."""

from collections.abc import Iterator
from typing import Any

import click

from slipway.cli import exits, options
from slipway.cli.client import Client, CliError
from slipway.cli.output import print_json, say


@click.command("doctor")
@options.as_json
def doctor(as_json: bool) -> None:
    """Ask every part whether it is well, and compare each live release with what really runs."""
    found = list(_findings())
    if as_json:
        print_json(found)
    else:
        for one in found:
            say(f"{'ok  ' if one['ok'] else 'BAD '} {one['what']}: {one['detail']}")
    bad = sum(not one["ok"] for one in found)
    if bad:
        raise CliError(f"{bad} of {len(found)} are not as they should be.", exits.FAILED)


def _findings() -> Iterator[dict[str, Any]]:
    client = Client()
    try:
        status = client.get("status")
    except CliError as error:
        if error.code != exits.UNAVAILABLE:
            raise
        yield _finding("daemon", False, f"{error.message} What is live goes on without it. See its journal.")
        return
    yield _finding("daemon", True, f"version {status['version']} at {status['url']}")
    for part in status["parts"]:
        yield _finding(part["name"], part["ok"], part["detail"])
    if not all(part["ok"] for part in status["parts"]):
        return
    for app in client.every("apps"):
        for environment in client.get("apps", app["name"], "environments"):
            yield from _environment(client, app["name"], environment)


def _environment(client: Client, app: str, environment: dict[str, Any]) -> Iterator[dict[str, Any]]:
    what = f"{app} ({environment['name']})"
    where = ("apps", app, "environments", environment["name"])
    live = next((release for release in client.get(*where, "releases") if release["live"]), None)
    if live is None:
        yield _finding(what, True, "nothing is live")
        return
    wrong = []
    for process in client.get(*where, "processes"):
        active = sum(one["active"] == "active" for one in process["instances"])
        if active != process["wanted"]:
            wrong.append(f"{process['name']} runs {active} times instead of {process['wanted']}")
    if not any(slot["role"] == "live" for slot in client.get(*where, "slots")):
        wrong.append("no slot is live")
    yield _finding(what, not wrong, "; ".join(wrong) or f"{live['name']} is live and runs as it should")


def _finding(what: str, ok: bool, detail: str) -> dict[str, Any]:
    return {"what": what, "ok": ok, "detail": detail}
