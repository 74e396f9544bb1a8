"""slipway environments … and slipway env … (variables)"""

import sys

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import ago, print_json, print_table, say


@click.group("environments")
def environments() -> None:
    """An app's environments: production, and others with branches of their own."""


@environments.command("list")
@click.argument("app")
@options.as_json
def list_environments(app: str, as_json: bool) -> None:
    """The app's environments."""
    found = Client().get("apps", app, "environments")
    if as_json:
        print_json(found)
        return
    rows = [[one["name"], one["branch"], one["url"], ago(one["created_at"])] for one in found]
    print_table(["Environment", "Branch", "Address", "Created"], rows, "")


@environments.command("create")
@click.argument("app")
@click.argument("name")
@click.option("--branch", required=True, metavar="B", help="The branch that it deploys.")
@options.as_json
def create(app: str, name: str, branch: str, as_json: bool) -> None:
    """Make an environment, without variables and without a release."""
    made = Client().post("apps", app, "environments", body={"name": name, "branch": branch})
    if as_json:
        print_json(made)
        return
    say(f"{name} is there. Next: slipway deploy {app} --environment {name} --wait")


@environments.command("delete")
@click.argument("app")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option("--wait", is_flag=True, help="End only when it is gone and its name is free again.")
@options.as_json
def delete(app: str, name: str, yes: bool, wait: bool, as_json: bool) -> None:
    """Delete an environment with its builds, variables and data."""
    client = Client()
    client.get("apps", app, "environments", name)
    if not yes:
        click.confirm(f"Delete {app}'s {name} with everything of it?", abort=True, err=True)
    client.request("DELETE", ("apps", app, "environments", name))
    if wait:
        client.await_gone("apps", app, "environments", name)
    if as_json:
        print_json({"name": name, "deleting": not wait})
        return
    say(f"{name} is gone." if wait else f"{name} is being deleted.")


@click.group("env")
def env() -> None:
    """The variables that an environment's builds and processes get."""


@env.command("list")
@click.argument("app")
@click.option("--reveal", metavar="KEY", help="Show the value of this one, secret or not. That is recorded.")
@options.environment
@options.as_json
def list_variables(app: str, reveal: str | None, environment: str, as_json: bool) -> None:
    """The variables; the values of secrets are not shown."""
    where = ("apps", app, "environments", environment, "variables")
    if reveal is not None:
        revealed = Client().get(*where, reveal)
        if as_json:
            print_json(revealed)
        else:
            say(revealed["value"])
        return
    found = Client().get(*where)
    if as_json:
        print_json(found)
        return
    rows = [[one["key"], "(secret)" if one["secret"] else one["value"], ago(one["updated_at"])] for one in found]
    print_table(["Key", "Value", "Changed"], rows, f"{app} has no variables: slipway env set {app} KEY=VALUE")


@env.command("set")
@click.argument("app")
@click.argument("assignments", nargs=-1, required=True, metavar="KEY=VALUE…")
@click.option("--plain/--secret", "plain", default=None, help="Whether values may be shown; new ones are secret.")
@options.environment
@options.as_json
def set_variables(app: str, assignments: tuple[str, ...], plain: bool | None, environment: str, as_json: bool) -> None:
    """Set variables. `KEY=-` reads the value from standard input, so that it stays out of the shell's history."""
    values = dict(_assignment(one) for one in assignments)
    body: dict[str, object] = {"set": values, "secret": None if plain is None else not plain}
    _change(app, environment, body, as_json)


@env.command("unset")
@click.argument("app")
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@options.environment
@options.as_json
def unset_variables(app: str, keys: tuple[str, ...], environment: str, as_json: bool) -> None:
    """Remove variables."""
    _change(app, environment, {"unset": list(keys)}, as_json)


def _change(app: str, environment: str, body: dict[str, object], as_json: bool) -> None:
    changed = Client().request("PATCH", ("apps", app, "environments", environment, "variables"), body=body)
    if as_json:
        print_json(changed)
        return
    say("Done. If a release is live, a new one with these variables is on its way (no build).")


def _assignment(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise click.UsageError(f"{text!r} is not KEY=VALUE.")
    return key, _standard_input(key) if value == "-" else value


def _standard_input(key: str) -> str:
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise click.UsageError(f"Standard input is not UTF-8 text; {key} can hold nothing else.") from error
