"""slipway events"""

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import ago, print_json, print_table


@click.command("events")
@options.limit
@options.as_json
def events(limit: int, as_json: bool) -> None:
    """Who did what, newest first."""
    found = Client().every("events", limit=limit)
    if as_json:
        print_json(found)
        return
    rows = [
        [ago(one["at"]), one["actor"], one["kind"], ", ".join(f"{key}: {value}" for key, value in one["data"].items())]
        for one in found
    ]
    print_table(["When", "Who", "What", ""], rows, "Nothing happened yet.")
