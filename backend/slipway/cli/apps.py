"""slipway apps …"""

from typing import Any

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import ago, print_json, print_table, say


@click.group("apps")
def apps() -> None:
    """Create, list, show, change and delete apps."""


@apps.command("create")
@click.argument("name")
@click.option("--repo", required=True, metavar="URL", help="The Git repository: https://…, in local mode also a path.")
@click.option("--branch", metavar="B", help="The branch to deploy; main unless given.")
@click.option("--base-directory", default="", metavar="D", help="The folder in the repository that holds the app.")
@options.as_json
def create(name: str, repo: str, branch: str | None, base_directory: str, as_json: bool) -> None:
    """Make an app. Nothing is deployed yet."""
    body = {"name": name, "repository": repo, "branch": branch, "base_directory": base_directory}
    app = Client().post("apps", body=body)
    if as_json:
        print_json(app)
        return
    say(f"{name} is there. Next: slipway deploy {name} --wait")


@apps.command("list")
@options.as_json
def list_apps(as_json: bool) -> None:
    """Every app."""
    found = Client().every("apps")
    if as_json:
        print_json(found)
        return
    rows = [[app["name"], app["repository"], app["branch"], ago(app["created_at"])] for app in found]
    print_table(
        ["App", "Repository", "Branch", "Created"], rows, "There is no app yet: slipway apps create NAME --repo URL"
    )


@apps.command("show")
@click.argument("name")
@options.as_json
def show(name: str, as_json: bool) -> None:
    """An app, its environments, what is live in them and what runs."""
    client = Client()
    app = client.get("apps", name)
    app["environments"] = [_with_live(client, name, one) for one in client.get("apps", name, "environments")]
    if as_json:
        print_json(app)
        return
    say(f"{app['name']}  {app['repository']}  {app['base_directory']}".rstrip())
    for environment in app["environments"]:
        live = environment["live"]
        state = f"{live['name']} ({live['commit'][:10]})" if live else "nothing is live"
        say(f"\n{environment['name']}  {environment['url']}  branch {environment['branch']}  {state}")
        for process in environment["processes"]:
            states = ", ".join(one["active"] for one in process["instances"]) or "stopped"
            say(f"  {process['name']} × {process['wanted']}: {states}")


def _with_live(client: Client, app: str, environment: dict[str, Any]) -> dict[str, Any]:
    where = ("apps", app, "environments", environment["name"])
    live = [release for release in client.get(*where, "releases") if release["live"]]
    return environment | {
        "live": live[0] if live else None,
        "processes": client.get(*where, "processes") if live else [],
    }


@apps.command("change")
@click.argument("name")
@click.option("--repo", metavar="URL", help="The Git repository: https://…, in local mode also a path.")
@click.option("--branch", metavar="B", help="The branch to deploy.")
@click.option("--base-directory", metavar="D", help="The folder in the repository that holds the app; '' for its root.")
@options.as_json
def change(name: str, repo: str | None, branch: str | None, base_directory: str | None, as_json: bool) -> None:
    """Change where an app comes from. The next deployment uses it; what is live stays."""
    wanted = {"repository": repo, "branch": branch, "base_directory": base_directory}
    body = {field: value for field, value in wanted.items() if value is not None}
    if not body:
        raise click.UsageError("Say what to change: --repo, --branch or --base-directory.")
    app = Client().request("PATCH", ("apps", name), body=body)
    if as_json:
        print_json(app)
        return
    say(f"{name} is changed. Next: slipway deploy {name} --wait")


@apps.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="End only when it is gone and its name is free again.")
@options.as_json
def delete(name: str, yes: bool, wait: bool, as_json: bool) -> None:
    """Delete an app with all its environments, builds, variables and data."""
    client = Client()
    client.get("apps", name)
    if not yes:
        click.confirm(f"Delete {name} with everything of it? This cannot be undone.", abort=True, err=True)
    client.request("DELETE", ("apps", name))
    if wait:
        client.await_gone("apps", name)
    if as_json:
        print_json({"name": name, "deleting": not wait})
        return
    say(f"{name} is gone." if wait else f"{name} is being deleted; in a moment its name is free again.")
