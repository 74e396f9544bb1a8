"""`slipway …` against the real daemon: what it prints, and its exit codes."""

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.integration.api.conftest import Panel
from tests.integration.api.test_streams import end

from slipway.apps import store as apps_store

BACKEND = Path(__file__).parents[3] / "backend"


@dataclass
class Ended:
    code: int
    out: str
    error: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def slipway(panel: Panel, *arguments: str, stdin: bytes = b"", **environment: str) -> Ended:
    own = {"SLIPWAY_ADMIN_SOCKET": str(panel.settings.paths.admin_socket)}
    return await _run(own | environment, *arguments, stdin=stdin)


async def _run(environment: dict[str, str], *arguments: str, stdin: bytes = b"") -> Ended:
    given = {"PATH": os.environ["PATH"], "PYTHONPATH": str(BACKEND), "LANG": "C.UTF-8"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "slipway", *arguments, env=given | environment,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, error = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), error.decode())


async def test_apps_are_made_listed_shown_and_deleted(panel: Panel) -> None:
    made = await slipway(panel, "apps", "create", "blog", "--repo", "https://git.example.org/b.git", "--branch", "next")
    assert made.code == 0, made.error
    assert "slipway deploy blog --wait" in made.out
    assert [app["name"] for app in (await slipway(panel, "apps", "list", "--json")).json] == ["blog"]
    assert (await slipway(panel, "apps", "list")).out.startswith(
        "App\tRepository\tBranch\tCreated\nblog\thttps://git.example.org/b.git\tnext"
    )
    shown = (await slipway(panel, "apps", "show", "blog", "--json")).json
    assert (shown["branch"], shown["environments"][0]["name"], shown["environments"][0]["live"]) == (
        "next",
        "production",
        None,
    )
    asked = await slipway(panel, "apps", "delete", "blog", stdin=b"n\n")
    assert asked.code == 130
    deleted = await slipway(panel, "apps", "delete", "blog", "--yes")
    assert (deleted.code, "in a moment its name is free again" in deleted.out) == (0, True)
    again = await slipway(panel, "apps", "create", "blog", "--repo", "https://git.example.org/b.git")
    assert (again.code, "try again in a moment" in again.error) == (4, True)
    assert (await slipway(panel, "apps", "show", "blog", "--json")).json["deleting"] is True


async def test_where_an_app_comes_from_is_changed(cast: Panel) -> None:
    changed = await slipway(cast, "apps", "change", "blog", "--repo", "https://git.example.org/new.git")
    assert changed.code == 0, changed.error
    assert "slipway deploy blog" in changed.out
    both = await slipway(cast, "apps", "change", "blog", "--branch", "next", "--base-directory", "web/", "--json")
    assert both.json | {"created_at": ""} == {
        "name": "blog",
        "team": 1,
        "repository": "https://git.example.org/new.git",
        "branch": "next",
        "base_directory": "web",
        "created_at": "",
        "deleting": False,
    }
    assert (await slipway(cast, "apps", "change", "blog", "--base-directory", "", "--json")).json[
        "base_directory"
    ] == ""
    assert (await slipway(cast, "apps", "change", "blog")).code == 2
    refused = await slipway(cast, "apps", "change", "blog", "--repo", "ext::sh -c id")
    assert (refused.code, "cannot be used" in refused.error) == (4, True)
    assert (await slipway(cast, "apps", "change", "missing", "--branch", "next")).code == 3


async def test_settings_are_shown_changed_and_made_automatic_again(cast: Panel) -> None:
    assert "start_command\t(automatic)" in (await slipway(cast, "settings", "blog")).out
    wanted = ("memory=256", "stop_then_start=true", "start_command=true", "health_path=/up?full=1")
    changed = await slipway(cast, "settings", "blog", *wanted)
    assert changed.code == 0, changed.error
    shown = (await slipway(cast, "settings", "blog", "--json")).json
    assert (shown["memory"], shown["stop_then_start"], shown["start_command"]) == (256, True, "true")
    assert shown["health_path"] == "/up?full=1"
    back = await slipway(cast, "settings", "blog", "start_command=", "memory=", "--json")
    assert (back.json["start_command"], back.json["memory"], back.json["stop_then_start"]) == (None, 512, True)
    for wrong in ("memory=lots", "memory=1", "stop_then_start=maybe", "colour=blue"):
        assert (await slipway(cast, "settings", "blog", wrong)).code == 4, wrong
    assert (await slipway(cast, "settings", "blog", "memory")).code == 2
    for typed, branch in (("next", "next"), ("", "main")):
        assert (await slipway(cast, "settings", "blog", "--branch", typed)).code == 0
        assert (await slipway(cast, "environments", "list", "blog", "--json")).json[0]["branch"] == branch
    assert (await slipway(cast, "settings", "blog", "-e", "missing")).code == 3


async def test_status_tells_whether_anyone_has_an_account(panel: Panel) -> None:
    assert (await slipway(panel, "status", "--json")).json["has_accounts"] is False
    await panel.make_account("someone@example.org")
    assert (await slipway(panel, "status", "--json")).json["has_accounts"] is True


async def test_each_kind_of_failure_has_its_exit_code_and_one_plain_line(cast: Panel) -> None:
    for arguments, code in (
        (("apps", "show", "missing"), 3),
        (("deploy", "blog", "--environment", "missing"), 3),
        (("apps", "create", "blog", "--repo", "https://git.example.org/b.git"), 4),
        (("apps", "create", "other", "--repo", "ext::sh -c id"), 4),
        (("rollback", "blog"), 4),
        (("rollback", "blog", "--to", "first"), 2),
        (("scale", "blog", "web"), 2),
        (("env", "set", "blog", "KEY"), 2),
        (("nonsense",), 2),
        (("deploy",), 2),
    ):
        ended = await slipway(cast, *arguments)
        assert ended.code == code, (arguments, ended)
        assert ended.out == ""
        assert "Traceback" not in ended.error
        if code != 2:
            assert ended.error.startswith("slipway: ")
    nowhere = await slipway(cast, "apps", "list", SLIPWAY_ADMIN_SOCKET="/nonexistent/admin.sock")
    assert (nowhere.code, "does not run here" in nowhere.error) == (5, True)


async def test_variables_are_set_listed_revealed_and_unset(cast: Panel) -> None:
    assert (await slipway(cast, "env", "set", "blog", "A=one=1", "B=", "--plain")).code == 0
    assert (await slipway(cast, "env", "set", "blog", "TOKEN=-", stdin=b"from a pipe\nin lines\n")).code == 0
    listed = await slipway(cast, "env", "list", "blog")
    assert "A\tone=1" in listed.out
    assert "pipe" not in listed.out
    assert (await slipway(cast, "env", "list", "blog", "--reveal", "TOKEN")).out == "from a pipe\nin lines\n"
    assert (await slipway(cast, "env", "set", "blog", "TOKEN=-", stdin=b"\xff")).code == 2
    assert (await slipway(cast, "env", "unset", "blog", "A", "B")).code == 0
    assert [one["key"] for one in (await slipway(cast, "env", "list", "blog", "--json")).json] == ["TOKEN"]


async def test_deploy_with_wait_prints_the_log_as_it_comes_and_fails_with_the_reason(cast: Panel) -> None:
    waiting = asyncio.create_task(slipway(cast, "deploy", "blog", "--wait"))
    number = await _begun(cast)
    cast.slipway.logs.write(number, "building", "\x1b]0;owned\x07\x1b[2Jcompiling \x1b[31mred\x1b[0m")
    await asyncio.sleep(0.3)
    await end(cast, number)
    ended = await asyncio.wait_for(waiting, 20)
    assert ended.code == 1
    assert "── building\n" in ended.out
    assert "]0;ownedcompiling red" in ended.out.replace("[2J", "")
    assert "\x1b" not in ended.out
    assert ended.error == f"slipway: Deployment {number} failed: x\n"


async def test_why_a_deployment_failed_is_printed_once_however_often_its_log_says_it(cast: Panel) -> None:
    waiting = asyncio.create_task(slipway(cast, "deploy", "blog", "--wait"))
    number = await _begun(cast)
    for line in ("Failed: a test that may fail", "going on", "The build failed. x", "Failed: x"):
        cast.slipway.logs.write(number, "building", line)
    await end(cast, number)
    ended = await asyncio.wait_for(waiting, 20)
    assert ended.error == f"slipway: Deployment {number} failed: x\n"
    assert ended.out.endswith("── building\nFailed: a test that may fail\ngoing on\n")
    assert "Failed: x" in (await slipway(cast, "logs", "blog", "--build", str(number), "-f")).out


async def test_a_cancelled_deployment_is_told_as_such_once(cast: Panel) -> None:
    waiting = asyncio.create_task(slipway(cast, "deploy", "blog", "--wait"))
    number = await _begun(cast)
    assert (await slipway(cast, "cancel", "blog", str(number))).code == 0
    ended = await asyncio.wait_for(waiting, 20)
    assert (ended.code, ended.error) == (1, f"slipway: Deployment {number} was cancelled.\n")


async def test_deletion_is_waited_for_until_nothing_is_left(cast: Panel) -> None:
    app = await cast.slipway.apps.get_app("blog")
    waiting = asyncio.create_task(slipway(cast, "apps", "delete", "blog", "--yes", "--wait", "--json"))
    while not (await cast.slipway.apps.get_app("blog")).deleting_at:
        await asyncio.sleep(0.05)
    assert not waiting.done()
    async with cast.slipway.db.transaction() as connection:  # what the removal does when the box has nothing of it
        for environment in await cast.slipway.apps.list_environments(app):
            await apps_store.delete_environment(connection, environment.id)
        await apps_store.delete_app(connection, app.id)
    ended = await asyncio.wait_for(waiting, 20)
    assert (ended.code, ended.json) == (0, {"name": "blog", "deleting": False})


async def test_what_is_not_slipway_is_told_in_one_line(tmp_path: Path) -> None:
    async def say_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        writer.close()

    stranger = await asyncio.start_unix_server(say_hello, tmp_path / "s")
    for given, code in (
        ({"SLIPWAY_ADMIN_SOCKET": str(tmp_path / "s")}, 5),
        ({"SLIPWAY_URL": "https://panel.example:port", "SLIPWAY_TOKEN": "slw_x"}, 2),
        ({"SLIPWAY_URL": "https://panel.example", "SLIPWAY_TOKEN": "slw_x", "SLIPWAY_CA": "/nowhere"}, 2),
    ):
        ended = await _run(given, "apps", "list")
        assert (ended.code, ended.out, ended.error.count("\n")) == (code, "", 1), ended
    stranger.close()
    await stranger.wait_closed()


async def test_deploy_with_wait_and_json_prints_one_object(cast: Panel) -> None:
    waiting = asyncio.create_task(slipway(cast, "deploy", "blog", "--wait", "--json"))
    number = await _begun(cast)
    await end(cast, number)
    ended = await asyncio.wait_for(waiting, 20)
    assert (ended.code, ended.json["id"], ended.json["state"]) == (1, number, "failed")


async def test_deployments_are_listed_cancelled_and_their_logs_read(cast: Panel) -> None:
    number = (await slipway(cast, "deploy", "blog", "--json")).json["id"]
    cast.slipway.logs.write(number, "building", "a line")
    await cast.slipway.logs.flushed()
    assert "a line" in (await slipway(cast, "logs", "blog", "--build", str(number))).out
    cancelled = await slipway(cast, "cancel", "blog", str(number), "--json")
    assert cancelled.json["state"] == "cancelled"
    assert (await slipway(cast, "cancel", "blog", str(number))).code == 4
    listed = (await slipway(cast, "deployments", "blog", "--json")).json
    assert [(one["id"], one["state"]) for one in listed] == [(number, "cancelled")]
    followed = await slipway(cast, "logs", "blog", "--build", str(number), "-f")
    assert (followed.code, "a line" in followed.out) == (0, True)


async def test_with_a_token_it_works_from_elsewhere_and_may_do_what_its_account_may(cast: Panel) -> None:
    secret = (await slipway(cast, "token", "create", "--name", "ci", "--email", "viewer@example.org")).out.strip()
    assert secret.startswith("slw_")
    relay = await asyncio.start_server(lambda r, w: _relay(cast, r, w), "127.0.0.1", 0)
    port = relay.sockets[0].getsockname()[1]
    there = {"SLIPWAY_URL": f"http://127.0.0.1:{port}", "SLIPWAY_TOKEN": secret}
    try:
        assert [app["name"] for app in (await slipway(cast, "apps", "list", "--json", **there)).json] == ["blog"]
        assert (await slipway(cast, "deploy", "blog", **there)).code == 4
        assert (await slipway(cast, "setup-link", **there)).code == 4
        assert (await slipway(cast, "apps", "list", **there | {"SLIPWAY_TOKEN": "slw_wrong"})).code == 4
    finally:
        relay.close()
        await relay.wait_closed()


async def test_environments_are_made_and_deleted(cast: Panel) -> None:
    assert (await slipway(cast, "environments", "create", "blog", "staging", "--branch", "next")).code == 0
    listed = (await slipway(cast, "environments", "list", "blog", "--json")).json
    assert [(one["name"], one["branch"]) for one in listed] == [("production", "main"), ("staging", "next")]
    assert (await slipway(cast, "environments", "delete", "blog", "staging", "--yes")).code == 0
    assert (await slipway(cast, "environments", "delete", "blog", "production", "--yes")).code == 4


async def test_the_doctor_says_what_does_not_answer(cast: Panel) -> None:
    ended = await slipway(cast, "doctor", "--json")
    assert ended.code == 1
    states = {one["what"]: one["ok"] for one in ended.json}
    assert states == {"daemon": True, "database": True, "host agent": False, "nginx": False}
    gone = await slipway(cast, "doctor", SLIPWAY_ADMIN_SOCKET="/nonexistent/admin.sock")
    assert (gone.code, gone.out.startswith("BAD  daemon")) == (1, True)


async def _begun(panel: Panel) -> int:
    """The number of the deployment that the command has just asked for."""
    app = await panel.slipway.apps.get_app("blog")
    while not (found := await panel.slipway.deployments.list_deployments(app)):
        await asyncio.sleep(0.05)
    return found[0].id


async def _relay(panel: Panel, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """nginx's part: one request to the web socket, under the panel's own name."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    lines = [line for line in head if line and not line.lower().startswith(("host:", "connection:"))]
    lines += [f"Host: {panel.settings.http.panel}", "Connection: close", "", ""]
    length = next((int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:")), 0)
    inner_reader, inner = await asyncio.open_unix_connection(str(panel.settings.paths.web_socket))
    inner.write("\r\n".join(lines).encode() + await reader.readexactly(length))
    while chunk := await inner_reader.read(65536):
        writer.write(chunk)
    inner.close()
    writer.close()
