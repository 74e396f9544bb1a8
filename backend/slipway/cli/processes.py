"""slipway ps, crashes, scale"""

import click
import msgspec

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import ago, log_text, print_json, print_table, say
from slipway.processes.models import Crash


@click.command("ps")
@click.argument("app")
@options.environment
@options.as_json
def ps(app: str, environment: str, as_json: bool) -> None:
    """The live release's processes, and what each instance does."""
    found = Client().get("apps", app, "environments", environment, "processes")
    if as_json:
        print_json(found)
        return
    rows = [
        [f"{one['name']}.{instance['rank']}", instance["active"], str(instance["restarts"]), one["command"]]
        for one in found
        for instance in one["instances"]
    ] + [[one["name"], f"none of {one['wanted']}", "", one["command"]] for one in found if not one["instances"]]
    print_table(["Instance", "State", "Restarts", "Command"], rows, "Nothing runs: no release with processes is live.")


@click.command("crashes")
@click.argument("app")
@options.limit
@options.environment
@options.as_json
def crashes(app: str, limit: int, environment: str, as_json: bool) -> None:
    """Instances that ended unasked, newest first, each with the last lines of its log."""
    found = Client().every("apps", app, "environments", environment, "crashes", limit=limit)
    if as_json:
        print_json(found)
        return
    if not found:
        print_table([], [], "Nothing crashed.")
    for one in found:
        crash = msgspec.convert(one, Crash)
        say(f"{ago(one['at'])}: v{crash.release_number} {crash.process}.{crash.rank} {crash.sentence}")
        for line in crash.lines:
            say(f"  │ {log_text(line)}")


@click.command("scale")
@click.argument("app")
@click.argument("counts", nargs=-1, required=True, metavar="PROCESS=N…")
@options.environment
@options.as_json
def scale(app: str, counts: tuple[str, ...], environment: str, as_json: bool) -> None:
    """How many instances of each process run."""
    wanted = dict(_count(one) for one in counts)
    changed = Client().request("PUT", ("apps", app, "environments", environment, "scale"), body=wanted)
    if as_json:
        print_json(changed)
        return
    say(", ".join(f"{process} × {number}" for process, number in wanted.items()))


def _count(text: str) -> tuple[str, int]:
    process, equals, number = text.partition("=")
    if not equals or not number.isascii() or not number.isdigit() or len(number) > 6:
        raise click.UsageError(f"{text!r} is not PROCESS=NUMBER, such as worker=2.")
    return process, int(number)
