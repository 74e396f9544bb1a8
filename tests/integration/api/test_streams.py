"""Logs and states as they come, over the real socket."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import psutil
import pytest
from tests.integration.api.conftest import Panel

from slipway.events.models import OPERATOR
from slipway.settings import Streams as StreamLimits
from slipway.web import policies, streams


@dataclass
class Event:
    name: str
    id: str | None
    data: Any


async def events_of(answer: httpx.Response) -> AsyncIterator[Event]:
    name, identifier = "", None
    async for line in answer.aiter_lines():
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("id: "):
            identifier = line[4:]
        elif line.startswith("data: "):
            yield Event(name, identifier, json.loads(line[6:]))


async def queued(panel: Panel) -> int:
    """A deployment that nothing runs: its log and state move as the test says."""
    app = await panel.slipway.apps.get_app("blog")
    environment = await panel.slipway.apps.get_environment(app)
    return (await panel.slipway.deployments.deploy(OPERATOR, app, environment)).id


async def end(panel: Panel, deployment_id: int) -> None:
    async with panel.slipway.db.connection() as connection:
        await connection.execute("UPDATE deployments SET state = 'failed', reason = 'x' WHERE id = $1", deployment_id)
    panel.slipway.hub.publish(f"deployment:{deployment_id}")
    await panel.slipway.logs.finish_deployment(deployment_id)


async def subscribed(panel: Panel, count: int) -> None:
    """Wait until so many streams are told of changes."""
    async with asyncio.timeout(20):
        while len({one for those in panel.slipway.hub._subscriptions.values() for one in those}) != count:
            await asyncio.sleep(0.02)


async def read_log(panel: Panel, path: str, last_id: str | None = None) -> tuple[list[int], list[str], Any]:
    """→ (numbers, texts, data of `end`)."""
    numbers, texts, ended = [], [], None
    async with panel.client("viewer") as viewer:
        headers = {"last-event-id": last_id} if last_id else {}
        async with viewer.stream("GET", path, headers=headers) as answer:
            assert answer.status_code == 200
            assert answer.headers["x-accel-buffering"] == "no"
            async for event in events_of(answer):
                if event.name == "end":
                    ended = event.data
                else:
                    numbers += [line["number"] for line in event.data]
                    texts += [line["text"] for line in event.data]
                    assert event.id == str(numbers[-1])
    return numbers, texts, ended


async def test_a_log_comes_live_whole_and_in_order_to_everyone_and_ends_with_the_state(cast: Panel) -> None:
    number = await queued(cast)
    path = f"/api/apps/blog/deployments/{number}/log/stream"
    early = [asyncio.create_task(read_log(cast, path)) for _ in range(5)]
    for batch in range(30):
        cast.slipway.logs.write(number, "building", f"line {batch}")
        await asyncio.sleep(0.01)
    late = [asyncio.create_task(read_log(cast, path)), asyncio.create_task(read_log(cast, path, "17"))]
    cast.slipway.logs.write(number, "building", "last")
    await cast.slipway.logs.flushed()
    await end(cast, number)
    whole = list(range(1, 33))
    for numbers, texts, ended in await asyncio.gather(*early, late[0]):
        assert numbers == whole
        assert texts[-1] == "last"
        assert ended == {"state": "failed", "reason": "x"}
    assert (await late[1])[0] == whole[17:]


async def test_a_log_that_is_over_is_given_at_once_from_any_line(cast: Panel) -> None:
    number = await queued(cast)
    cast.slipway.logs.write(number, "building", "\n".join(f"line {n}" for n in range(5000)))
    await cast.slipway.logs.flushed()
    await end(cast, number)
    path = f"/api/apps/blog/deployments/{number}/log"
    numbers, _, ended = await read_log(cast, f"{path}/stream")
    assert numbers == list(range(1, 5002))
    assert ended
    assert (await read_log(cast, f"{path}/stream", "4999"))[0] == [5000, 5001]
    assert (await read_log(cast, f"{path}/stream", "5001"))[0] == []
    async with cast.client("viewer") as viewer:
        text = (await viewer.get(path)).text.splitlines()
        assert len(text) == 5001
        assert text[-1].endswith("| line 4999")
        first = (await viewer.get(f"{path}?format=json&lines=10")).json()
        assert [line["number"] for line in first["items"]] == list(range(1, 11))
        second = (await viewer.get(f"{path}?format=json&lines=10&after={first['next']}")).json()
        assert second["items"][0]["number"] == 11
        for wrong in ("-1", "x", "1e9", "9" * 40):
            answer = await viewer.get(f"{path}/stream", headers={"last-event-id": wrong})
            assert answer.status_code == 422, wrong


async def test_a_deployments_state_is_told_first_and_whenever_it_changes(cast: Panel) -> None:
    number = await queued(cast)
    told = []
    path = f"/api/apps/blog/deployments/{number}/stream"
    async with cast.client("viewer") as viewer, viewer.stream("GET", path) as answer:
        async for event in events_of(answer):
            told.append(event.data["state"])
            if told == ["queued"]:
                await end(cast, number)
    assert told == ["queued", "failed"]


async def test_changes_reach_those_who_may_see_the_app_and_nobody_else(cast: Panel) -> None:
    app = await cast.slipway.apps.get_app("blog")

    async def topics(who: str, until: str) -> list[str]:
        seen: list[str] = []
        async with cast.client(who) as client, client.stream("GET", "/api/changes") as answer:
            async for event in events_of(answer):
                seen += event.data
                if until in seen:
                    break
        return seen

    watching = [asyncio.create_task(topics("viewer", f"app:{app.id}")), asyncio.create_task(topics("outsider", "end"))]
    await subscribed(cast, 2)
    cast.slipway.hub.publish(f"app:{app.id}")
    assert f"app:{app.id}" in await asyncio.wait_for(watching[0], 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watching[1], 0.5)


async def test_what_is_made_and_changed_while_a_stream_is_open_is_told_at_once(cast: Panel) -> None:
    """Also in the very moment in which the list of apps has changed."""
    app = await cast.slipway.apps.get_app("blog")
    async with cast.client("viewer") as viewer, viewer.stream("GET", "/api/changes") as answer:
        events = events_of(answer)
        assert (await anext(events)).data == ["apps"]
        environment = await cast.slipway.apps.create_environment(OPERATOR, app, "staging", "next")
        cast.slipway.hub.publish(f"environment:{environment.id}")
        number = await queued(cast)
        wanted = {"apps", f"app:{app.id}", f"environment:{environment.id}", f"deployment:{number}"}
        async with asyncio.timeout(10):
            while wanted:
                wanted -= set((await anext(events)).data)


async def test_a_change_of_what_a_stream_knows_asks_the_database_nothing(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await cast.slipway.apps.get_app("blog")
    number = await queued(cast)
    asked: list[object] = []
    connection = cast.slipway.db.connection
    async with cast.client("viewer") as viewer, viewer.stream("GET", "/api/changes") as answer:
        events = events_of(answer)
        await anext(events)
        cast.slipway.hub.publish(f"deployment:{number}")
        assert (await anext(events)).data == [f"deployment:{number}"]
        with monkeypatch.context() as patch:
            patch.setattr(cast.slipway.db, "connection", lambda: asked.append(None) or connection())
            for _ in range(3):
                cast.slipway.hub.publish("apps", f"app:{app.id}", f"deployment:{number}")
                assert (await anext(events)).data == ["app:" + str(app.id), "apps", f"deployment:{number}"]
        assert asked == []


async def test_a_deployment_of_an_app_of_others_is_told_to_nobody_but_the_operator(cast: Panel) -> None:
    number = await queued(cast)

    begun: set[str] = set()

    async def seen_by(who: str) -> list[str]:
        """All topics until the list of apps changes."""
        seen: list[str] = []
        async with cast.client(who) as client, client.stream("GET", "/api/changes") as answer:
            async for event in events_of(answer):
                seen += event.data if who in begun else []
                begun.add(who)
                if "apps" in seen:
                    break
        return seen

    watching = [asyncio.create_task(seen_by(who)) for who in ("outsider", "viewer", "operator")]
    async with asyncio.timeout(10):
        while len(begun) < len(watching):
            await asyncio.sleep(0.02)
        cast.slipway.hub.publish(f"deployment:{number}", "apps")
        outsider, viewer, operator = await asyncio.gather(*watching)
    assert outsider == ["apps"]
    assert sorted(viewer) == sorted(operator) == ["apps", f"deployment:{number}"]


async def test_an_idle_stream_says_that_it_is_alive(cast: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.1)
    number = await queued(cast)
    async with cast.client("viewer") as viewer:
        for path in (f"/api/apps/blog/deployments/{number}/log/stream", "/api/changes"):
            async with viewer.stream("GET", path) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith(":"):
                        break


async def test_a_stream_ends_when_its_viewer_may_no_longer_look(cast: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "IDLE_SECONDS", 0.05)
    monkeypatch.setattr(streams, "RECHECK_SECONDS", 0.1)
    monkeypatch.setattr(policies, "SHARED_SECONDS", 0.05)
    number = await queued(cast)
    async with cast.client("viewer") as viewer:
        account = (await viewer.get("/api/account")).json()["id"]
        async with viewer.stream("GET", f"/api/apps/blog/deployments/{number}/log/stream") as answer:
            reading = asyncio.create_task(_drain(answer))
            await subscribed(cast, 1)
            await asyncio.sleep(0.5)  # it is looked at again and again
            assert not reading.done()
            await cast.set_role(account, 1, None)
            await asyncio.wait_for(reading, 20)
    async with cast.client("member") as member, member.stream("GET", "/api/changes") as answer:
        reading = asyncio.create_task(_drain(answer))
        await asyncio.sleep(0.2)
        await cast.slipway.accounts.sign_out(cast.cookies["member"])
        await asyncio.wait_for(reading, 20)


async def test_a_reader_that_leaves_leaves_nothing_behind(cast: Panel) -> None:
    number = await queued(cast)
    path = f"/api/apps/blog/deployments/{number}/log/stream"
    for _ in range(5):
        async with cast.client("viewer") as viewer, viewer.stream("GET", path) as answer:
            async for _event in events_of(answer):
                break
    await subscribed(cast, 0)


async def _drain(answer: httpx.Response) -> None:
    async for _ in answer.aiter_raw():
        pass


async def test_one_who_asks_for_lines_that_are_not_there_yet_holds_up_nobody(cast: Panel) -> None:
    number = await queued(cast)
    cast.slipway.logs.write(number, "building", "before")
    await cast.slipway.logs.flushed()
    path = f"/api/apps/blog/deployments/{number}/log/stream"
    early = asyncio.create_task(read_log(cast, f"{path}?after={2**31 - 1}"))
    async with asyncio.timeout(10):
        while f"deployment-log:{number}" not in cast.slipway.hub._subscriptions:
            await asyncio.sleep(0.02)
        late = asyncio.create_task(read_log(cast, path))
        cast.slipway.logs.write(number, "building", "after")
        await cast.slipway.logs.flushed()
        await end(cast, number)
        numbers, texts, ended = await early
        assert (numbers, texts) == ([3], ["after"])
        assert ended
        assert (await late)[0] == [1, 2, 3]
    async with cast.client("viewer") as viewer:
        page = await viewer.get(f"/api/apps/blog/deployments/{number}/log?format=json&after={2**31 - 1}")
        assert page.json()["items"] == []
        assert (await viewer.get(f"{path}?after={2**31}")).status_code == 422
    assert (await read_log(cast, path, "9" * 12))[0] == []


@asynccontextmanager
async def watching(panel: Panel, who: str, address: str) -> AsyncIterator[httpx.Response]:
    async with (
        panel.client(who) as client,
        client.stream("GET", "/api/changes", headers={"x-forwarded-for": address}) as answer,
    ):
        yield answer


@pytest.mark.parametrize(
    ("limits", "first", "refused", "taken"),
    [
        (StreamLimits(at_once=2), ("viewer", "member"), ("owner", "192.0.2.9"), None),
        (StreamLimits(of_account=2), ("viewer", "viewer"), ("viewer", "192.0.2.9"), ("owner", "192.0.2.0")),
        (StreamLimits(of_address=1), ("viewer", "member"), ("owner", "192.0.2.1"), ("owner", "192.0.2.9")),
    ],
    ids=["all", "account", "address"],
)
async def test_beyond_the_limit_a_stream_is_refused_until_another_ends_and_the_operators_never_is(
    cast: Panel, limits: StreamLimits, first: tuple[str, ...], refused: tuple[str, str], taken: tuple[str, str] | None
) -> None:
    cast.slipway.streams._most = limits
    async with AsyncExitStack() as held:
        for number, who in enumerate(first):
            answer = await held.enter_async_context(watching(cast, who, f"192.0.2.{number}"))
            assert answer.status_code == 200
        async with watching(cast, *refused) as answer:
            assert answer.status_code == 503
            assert int(answer.headers["retry-after"]) > 0
            assert json.loads(await answer.aread())["code"] == "busy"
        async with watching(cast, "operator", "192.0.2.1") as answer:
            assert answer.status_code == 200
        if taken is not None:
            async with watching(cast, *taken) as answer:
                assert answer.status_code == 200
        async with cast.client("owner") as owner:
            assert (await owner.get("/api/apps")).status_code == 200, "what is no stream is answered"
    async with asyncio.timeout(10):
        while cast.slipway.streams._open:
            await asyncio.sleep(0.02)
    async with watching(cast, *refused) as answer:
        assert answer.status_code == 200


async def test_clients_that_never_read_take_little_memory_and_are_let_go(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, clients, line = await queued(cast), 30, "x" * 1000
    for _ in range(20):
        cast.slipway.logs.write(number, "building", "\n".join([line] * 500))
    await cast.slipway.logs.flushed()
    monkeypatch.setattr(streams, "SEND_SECONDS", 3.0)
    async with cast.client("viewer") as viewer:
        request = viewer.build_request("GET", f"/api/apps/blog/deployments/{number}/log/stream")
    fields = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    before, waiting = psutil.Process().memory_info().rss, []
    try:
        for _ in range(clients):
            one = socket.socket(socket.AF_UNIX)
            waiting.append(one)
            one.connect(str(cast.settings.paths.web_socket))
            one.sendall(f"GET {request.url.path} HTTP/1.1\r\n{fields}\r\n".encode())
        async with asyncio.timeout(60):
            while cast.slipway.streams._open["all"] < clients:
                await asyncio.sleep(0.02)
            most = 0
            while cast.slipway.streams._open:
                most = max(most, psutil.Process().memory_info().rss - before)
                await asyncio.sleep(0.05)
        assert most < clients * len(line) * 10_000 / 4, "what they do not take is kept for them"
    finally:
        for one in waiting:
            one.close()
