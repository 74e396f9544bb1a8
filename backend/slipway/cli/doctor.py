"""slipway doctor: what is wrong, in one list."""

from collections.abc import Iterator
from typing import Any

import click

from slipway.cli import exits, options
from slipway.cli.client import Client, CliError
from slipway.cli.output import ago, plain, print_json, say


@click.command("doctor")
@click.option("--repair", metavar="FINDING|APP", help="Put Slipway's own back where a person changed it.")
@options.as_json
def doctor(repair: str | None, as_json: bool) -> None:
    """Ask every part whether it is well, and compare all that runs, and its files, with what should be.

    What is Slipway's is put right at once. What a person changed is shown, with the difference, and stays as it is
    until `--repair` is given for it.
    """
    found = []
    if repair is not None:
        report = Client().post("system", "drift", "repair", body={"id": repair})
        found += [_was_put_right(one) for one in report["asked"]]
    found += _findings()
    if as_json:
        print_json(found)
    else:
        for one in found:
            _say(one)
    bad = sum(not one["ok"] for one in found)
    if bad:
        raise CliError(f"{bad} of {len(found)} are not as they should be.", exits.FAILED)


def differs(found: dict[str, Any] | None) -> Iterator[str]:
    """That the last look found something, for who did not ask for a look."""
    if found is not None and found["findings"]:
        count, looked = found["findings"], ago(found["looked_at"])
        are = "1 thing on the server is not as it" if count == 1 else f"{count} things on the server are not as they"
        yield f"{are} should be (last look: {looked}): `slipway doctor` says what to do"


def _say(one: dict[str, Any]) -> None:
    say(f"{'ok  ' if one['ok'] else 'BAD '} {plain(one['what'])}: {plain(one['detail'])}")
    if one.get("todo"):
        say(f"     → {plain(one['todo'])}")
    drift = one.get("drift")
    if drift is None:
        return
    if one["ok"]:
        say(f"     was put right: {plain(drift['where'])}")
        return
    say(f"     {plain(drift['where'])}, since {drift['since'][:16].replace('T', ' ')}")
    for line in (drift["diff"] or "").splitlines():
        say(f"     | {plain(line)}")
    say(f"     → {plain(drift['todo'])}")


def _findings() -> Iterator[dict[str, Any]]:
    client = Client()
    try:
        status = client.get("status")
    except CliError as error:
        if error.code != exits.UNAVAILABLE:
            raise
        yield _finding("daemon", False, error.message)
        return
    yield _finding("daemon", True, f"version {status['version']} at {status['url']}")
    for part in status["parts"]:
        yield _finding(part["name"], part["ok"], part["detail"]) | {"todo": part["todo"]}
    if not all(part["ok"] for part in status["parts"]):
        return
    yield from _drift(client)
    for app in client.every("apps"):
        for environment in client.get("apps", app["name"], "environments"):
            yield from _environment(client, app["name"], environment)


def _drift(client: Client) -> Iterator[dict[str, Any]]:
    """What differs from what should be; what this very look put right is told, too."""
    try:
        report = client.get("system", "drift")
    except CliError as error:
        if error.code == exits.REFUSED and "operator" in error.message:
            return  # from elsewhere: only the operator sees the whole machine
        yield _finding("machine", False, f"could not be compared with the database: {error.message}")
        return
    for one in report["findings"]:
        detail = f"{one['what']}{': ' + one['detail'] if one['detail'] else ''}"
        yield _finding(_whose(one), False, detail) | {"drift": one}
    if report["more"]:
        yield _finding("machine", False, f"and {report['more']} more differences")
    for one in report["repairs"]:
        if one["at"] >= report["began"]:
            yield _was_put_right(one)
    if not report["findings"]:
        yield _finding("machine", True, f"is as the database says (looked at in {report['seconds']:.1f} s)")


def _was_put_right(one: dict[str, Any]) -> dict[str, Any]:
    return _finding(_whose(one), True, one["what"]) | {"drift": one}


def _whose(one: dict[str, Any]) -> str:
    return f"{one['app']} ({one['environment']})" if one["app"] else "machine"


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
