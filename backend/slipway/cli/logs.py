"""slipway logs"""

from typing import Any

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.deployments import DeploymentLog
from slipway.cli.output import complain, log_text, print_json, say


@click.command("logs")
@click.argument("app")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes.")
@click.option("--build", type=click.IntRange(1), metavar="N", help="The log of deployment N instead.")
@click.option("-n", "--lines", type=click.IntRange(1, 2000), default=200, show_default=True)
@options.environment
@options.as_json
def logs(app: str, follow: bool, build: int | None, lines: int, environment: str, as_json: bool) -> None:
    """What the app writes; or, with --build, what a deployment wrote."""
    client = Client()
    if build is not None:
        _deployment(client, app, build, follow, as_json)
        return
    where = ("apps", app, "environments", environment, "log")
    if follow:
        if _is_static(client, app, environment):
            complain(f"{app} is a static site: it has no processes, and so no log.")
            return
        for event in client.stream(*where, "stream", tail=lines):
            for line in event.data:
                _print(line, as_json)
        return
    found = client.get(*where, format="json", lines=lines)["items"]
    if not found and _is_static(client, app, environment):
        complain(f"{app} is a static site: it has no processes, and so no log.")
    if as_json:
        print_json(found)
        return
    for line in found:
        _print(line, as_json=False)


def _is_static(client: Client, app: str, environment: str) -> bool:
    where = ("apps", app, "environments", environment)
    return any(release["live"] for release in client.get(*where, "releases")) and not client.get(*where, "processes")


def _deployment(client: Client, app: str, number: int, follow: bool, as_json: bool) -> None:
    if not as_json:
        client.get("apps", app, "deployments", str(number))
        log = DeploymentLog(client, app, number)
        log.follow() if follow else log.print()
        return
    found: list[Any] = []
    after: str | None = "0"
    while after is not None:
        page = client.get("apps", app, "deployments", str(number), "log", format="json", after=after)
        found += page["items"]
        after = page["next"]
    print_json(found)


def _print(line: dict[str, Any], as_json: bool) -> None:
    """When following, JSON is one object a line, so that it can be read as it comes."""
    if as_json:
        import json

        say(json.dumps(line, ensure_ascii=False))
    else:
        say(f"{line['at'][11:19]} v{line['release']} {line['process']}.{line['rank']} │ {log_text(line['text'])}")
