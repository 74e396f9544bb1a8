"""slipway system: the machine that Slipway runs on"""

from collections.abc import Iterator
from typing import Any

import click

from slipway.cli import options
from slipway.cli.client import Client
from slipway.cli.output import ago, plain, print_json, print_table, say

SECURITY_UPDATES = {
    "on": "installed by themselves",
    "off": "not installed by themselves: `slipway system security-updates on`",
    "by_machine": "installed by themselves, by the machine's own settings",
}


@click.group("system")
def system() -> None:
    """The machine itself: its operating system and updates."""


@system.command("show")
@options.as_json
def show(as_json: bool) -> None:
    """The operating system, what waits to be installed, whether it needs a reboot."""
    found = Client().get("system")
    if as_json:
        print_json(found)
        return
    say(f"{plain(found['name'])}, Linux {plain(found['kernel'])}, up since {ago(found['up_since'])}")
    if not found["is_server"]:
        say("Not a server of Slipway's own: updates are the business of whoever looks after this machine.")
        return
    say(f"Security updates are {SECURITY_UPDATES[found['security_updates']]}.")
    for line in needs(found):
        say(line)
    if found["pending"] is None:
        say("It was not looked for updates yet; that happens some minutes after the installation, and twice a day.")
        return
    updates = found["pending"]["updates"]
    rows = [[one["package"], one["installed"] or "—", one["version"], "security" * one["security"]] for one in updates]
    print_table(("Package", "Installed", "New", ""), rows, f"No updates wait ({ago(found['pending']['looked_at'])}).")


@system.command("security-updates")
@click.argument("wish", metavar="on|off", type=click.Choice(["on", "off"]))
@options.as_json
def security_updates(wish: str, as_json: bool) -> None:
    """Have the operating system install security updates by itself, or leave that to its own settings."""
    found = Client().request("PUT", ("system", "security-updates"), body={"on": wish == "on"})
    if as_json:
        print_json(found)
        return
    say(f"Security updates are {SECURITY_UPDATES[found['security_updates']]}.")


def needs(found: dict[str, Any] | None) -> Iterator[str]:
    """What the operating system waits for, a sentence each."""
    if found is None or not found["is_server"]:
        return
    pending = found["pending"]
    if pending is not None and pending["updates"]:
        count, security = len(pending["updates"]), sum(one["security"] for one in pending["updates"])
        some = f", {security} of them for security" if security else ""
        what = "1 update" if count == 1 else f"{count} updates"
        yield f"{what} of the operating system to install{some}: `slipway system show`"
    if pending is not None and pending["problem"]:
        yield f"the last look for updates failed: {plain(pending['problem'])}"
    if found["reboot_needed"]:
        because = f" ({plain(', '.join(found['reboot_for']))})" if found["reboot_for"] else ""
        yield f"the operating system needs a reboot{because}; apps come back by themselves"
