"""slipway status, disk, token, setup-link, down"""

import os
import sys
from pathlib import Path
from typing import Any

import click

from slipway.cli import exits, options
from slipway.cli.certificates import describe
from slipway.cli.client import Client, CliError
from slipway.cli.doctor import differs
from slipway.cli.output import MIB, ago, print_json, print_table, say, size
from slipway.cli.system import needs


@click.command("status")
@options.as_json
def status(as_json: bool) -> None:
    """Whether Slipway is well, its address and version."""
    found = Client().get("status")
    if as_json:
        print_json(found)
    else:
        say(f"Slipway {found['version']}  {found['url']}  ({found['mode']})")
        for part in found["parts"]:
            say(f"  {'ok  ' if part['ok'] else 'BAD '} {part['name']}: {part['detail']}")
            if part["todo"]:
                say(f"       → {part['todo']}")
        if found["certificate"] and found["url"].startswith("https:"):
            say(f"  certificate: {describe(found['certificate'])}")
        for line in needs(found["operating_system"]):
            say(f"  note {line}")
        for line in differs(found["drift"]):
            say(f"  note {line}")
    if not found["ok"]:
        raise CliError("Not everything answers. `slipway doctor` looks closer.", exits.FAILED)


@click.command("disk")
@click.argument("app", required=False)
@click.option("--budget", metavar="MIB", help="What the app may take, in MiB; '' for what the settings give every app.")
@options.as_json
def disk(app: str | None, budget: str | None, as_json: bool) -> None:
    """What the disk holds, and what each app takes of it and may take; with --budget, change that of one."""
    client = Client()
    if app is None:
        if budget is not None:
            raise click.UsageError("Say whose budget: slipway disk APP --budget MIB.")
        found = client.get("disk")
        if as_json:
            print_json(found)
            return
        for one in found["file_systems"]:
            files = f", {one['free_inodes']:,} more files" if one["inodes"] else ""
            free, total = size(one["free"]), size(one["total"])
            say(f"{free} of {total} free{files}: {', '.join(one['holds'])}")
        say(f"{size(found['reserve'] * MIB)} stay free on each for the database, the logs and Slipway.\n")
        _print_usages(found["apps"])
        return
    if budget is not None and budget != "" and not budget.isdigit():
        raise click.UsageError("--budget is a whole number of MiB.")
    where = ("apps", app, "disk")
    usage = (
        client.get(*where)
        if budget is None
        else client.request("PUT", where, body={"budget": int(budget or 0) or None})
    )
    if as_json:
        print_json(usage)
        return
    _print_usages([usage])


def _print_usages(usages: list[dict[str, Any]]) -> None:
    rows = [
        [
            one["app"], *(size(one[part]) for part in ("total", "builds", "caches", "data", "repository")),
            size(one["budget"] * MIB), ago(one["measured_at"]),
        ]
        for one in usages
    ]  # fmt: skip
    headings = ["App", "Takes", "Builds", "Caches", "Data", "Repository", "May take", "Measured"]
    print_table(headings, rows, "There is no app yet.")


@click.group("token")
def token() -> None:
    """API tokens."""


@token.command("create")
@click.option("--name", required=True, metavar="N", help="What it is for.")
@click.option("--email", metavar="ADDRESS", help="Whose it is to be; needed where there are several accounts.")
@options.as_json
def create_token(name: str, email: str | None, as_json: bool) -> None:
    """Make a token. It is printed this once."""
    made = Client().post("tokens", body={"name": name} | ({"email": email} if email else {}))
    if as_json:
        print_json(made)
        return
    print(made["token"])


@click.command("setup-link")
@options.as_json
def setup_link(as_json: bool) -> None:
    """A one-time link that makes an owner's account.

    With the e-mail address of an account that is there, it gives that one a new password. The link is good for a
    day; earlier ones are void.
    """
    made = Client().post("setup-link")
    if as_json:
        print_json(made)
        return
    print(made["url"])


@click.command("down")
def down() -> None:
    """Stop everything of this installation (local mode). Its folder stays; ./install.sh --try resumes it."""
    from slipway.local import main as local

    settings = os.environ.get("SLIPWAY_SETTINGS")
    if settings is None:
        raise CliError("There is no local installation here: use the `slipway` in its folder's bin/.", exits.USAGE)
    sys.exit(local(["down", "--state", str(Path(settings).resolve().parents[2])]))
