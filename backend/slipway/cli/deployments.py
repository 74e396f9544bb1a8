"""slipway deploy, deployments, cancel, releases, rollback"""

import re
from typing import Any

import click

from slipway.cli import exits, options
from slipway.cli.client import Client, CliError
from slipway.cli.output import ago, log_text, print_json, print_table, say

REASONS_BEGIN = ("Failed: ", "The build failed. ", "It was cancelled.")
"""The lines of a log that hold why a deployment did not go live, as its runner and its build write them."""


@click.command("deploy")
@click.argument("app")
@click.option("--commit", metavar="SHA", help="A commit's full id; the branch's tip unless given.")
@click.option("--wait", is_flag=True, help="Print the log, and end with the deployment: 0 live, 1 not.")
@options.environment
@options.as_json
def deploy(app: str, commit: str | None, wait: bool, environment: str, as_json: bool) -> None:
    """Build the branch's tip, and switch to it once it answers."""
    client = Client()
    asked = client.post("apps", app, "environments", environment, "deployments", body={"commit": commit})
    _finish(client, app, asked, wait, as_json)


@click.command("rollback")
@click.argument("app")
@click.argument("release", metavar="[vN]", required=False)
@click.option("--to", metavar="vN", help="The same as [vN]: the release; the one before the live one unless given.")
@click.option("--wait", is_flag=True, help="Print the log, and end with the deployment: 0 live, 1 not.")
@options.environment
@options.as_json
def rollback(app: str, release: str | None, to: str | None, wait: bool, environment: str, as_json: bool) -> None:
    """Make an earlier release live again."""
    client = Client()
    if to is not None and release is not None and to != release:
        raise click.UsageError(f"Roll back to {release} or to {to}? Name one release.")
    wanted = release or to
    number = None if wanted is None else _release_number(wanted)
    asked = client.post("apps", app, "environments", environment, "rollback", body={"to": number})
    if not as_json:
        say("With the variables and settings that the release was made with.")
    _finish(client, app, asked, wait, as_json)


@click.command("cancel")
@click.argument("app")
@click.argument("number", type=click.IntRange(1))
@options.as_json
def cancel(app: str, number: int, as_json: bool) -> None:
    """Stop a deployment. What is live goes on."""
    stopped = Client().post("apps", app, "deployments", str(number), "cancel")
    if as_json:
        print_json(stopped)
        return
    say(f"Deployment {number} is being cancelled." if not stopped["ended"] else f"Deployment {number} was cancelled.")


@click.command("deployments")
@click.argument("app")
@click.option("-e", "--environment", metavar="NAME", help="Only this environment's.")
@options.limit
@options.as_json
def deployments(app: str, environment: str | None, limit: int, as_json: bool) -> None:
    """What was deployed, newest first."""
    where = ("apps", app, "environments", environment) if environment else ("apps", app)
    found = Client().every(*where, "deployments", limit=limit)
    if as_json:
        print_json(found)
        return
    states = {one["id"]: one["state"] for one in found}
    for one in found:
        # Not while it is being undone, and not where that failed; by one that is not listed, it was.
        if one["undone_by"] is not None and states.get(one["undone_by"], "live") == "live":
            one["state"] = "undone"
    newest = {one["environment"]: one["id"] for one in reversed(found) if one["state"] == "live"}
    rows = [
        [
            str(one["id"]),
            one["environment"],
            one["kind"],
            "done" if one["state"] == "live" and newest[one["environment"]] != one["id"] else one["state"],
            one["release"] or "",
            (one["commit"] or "")[:10],
            ago(one["created_at"]),
            one["reason"] or one["commit_subject"] or "",
        ]
        for one in found
    ]
    headings = ["No.", "Environment", "Kind", "State", "Release", "Commit", "When", ""]
    print_table(headings, rows, f"Nothing was deployed yet: slipway deploy {app} --wait")


@click.command("releases")
@click.argument("app")
@options.environment
@options.as_json
def releases(app: str, environment: str, as_json: bool) -> None:
    """The live release, and those that can be rolled back to."""
    found = Client().get("apps", app, "environments", environment, "releases")
    if as_json:
        print_json(found)
        return
    rows = [
        [one["name"], "live" if one["live"] else "", one["commit"][:10], one["reason"], ago(one["created_at"])]
        for one in found
    ]
    print_table(["Release", "", "Commit", "Made by", "When"], rows, "Nothing was released yet.")


class DeploymentLog:
    """Prints a deployment's log from its beginning, each phase under its name.

    With `without_reason`, why it failed is left out at its end: for who says that themselves.
    """

    def __init__(self, client: Client, app: str, number: int, *, without_reason: bool = False) -> None:
        self._client = client
        self._where = ("apps", app, "deployments", str(number), "log")
        self._without_reason = without_reason
        self._phase = ""
        self._held: list[dict[str, Any]] = []
        """Lines that may be the reason; which it is, is known at the end."""

    def print(self) -> None:
        """What there is by now."""
        after: str | None = "0"
        while after is not None:
            page = self._client.get(*self._where, format="json", after=after)
            self._take(page["items"])
            after = page["next"]

    def follow(self) -> None:
        """Until the deployment ends."""
        for event in self._client.stream(*self._where, "stream"):
            if event.name == "line":
                self._take(event.data)
            elif event.name == "end":
                reason = event.data["reason"]
                self._release([line for line in self._held if not reason or not line["text"].endswith(reason)])

    def _take(self, lines: list[dict[str, Any]]) -> None:
        for line in lines:
            if self._without_reason and line["text"].startswith(REASONS_BEGIN):
                self._held.append(line)
            else:
                self._release([*self._held, line])

    def _release(self, lines: list[dict[str, Any]]) -> None:
        self._held = []
        for line in lines:
            if line["phase"] != self._phase:
                self._phase = line["phase"]
                say(f"── {self._phase}")
            say(log_text(line["text"]))


def _finish(client: Client, app: str, asked: dict[str, Any], wait: bool, as_json: bool) -> None:
    number = asked["id"]
    if not wait:
        if as_json:
            print_json(asked)
        else:
            say(f"Deployment {number} of {app} is queued. Watch it: slipway logs {app} --build {number} -f")
        return
    if as_json:
        for _ in client.stream("apps", app, "deployments", str(number), "log", "stream"):
            pass
    else:
        DeploymentLog(client, app, number, without_reason=True).follow()
    detail = client.get("apps", app, "deployments", str(number))
    deployment = detail["deployment"]
    if as_json:
        print_json(deployment | {"phases": detail["phases"]})
    elif deployment["state"] == "live":
        _say_times(detail["phases"])
    if deployment["state"] != "live":
        raise CliError(f"Deployment {number} {_ended(deployment, detail['serving'])}", exits.FAILED)


def _say_times(phases: list[dict[str, Any]]) -> None:
    say(", ".join(f"{one['phase']} {one['seconds']:.1f} s" for one in phases if one["seconds"] is not None))


def _ended(deployment: dict[str, Any], serving: str | None) -> str:
    goes_on = f", and {serving} goes on serving" if serving else ""
    if deployment["state"] == "cancelled":
        return f"was cancelled{goes_on}."
    words = {"failed": "failed", "superseded": "was superseded"}.get(deployment["state"], deployment["state"])
    return f"{words}{goes_on}: {deployment['reason'] or 'no reason was given'}"


def _release_number(text: str) -> int:
    found = re.fullmatch(r"v?([1-9][0-9]{0,8})", text)
    if found is None:
        raise click.UsageError(f"{text!r} is not a release: say v3.")
    return int(found[1])
