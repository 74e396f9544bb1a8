"""How answers look: problems, pages of lists, keys for requests that are sent twice."""

import asyncio
from typing import Any

import pytest
from tests.integration.api.conftest import Panel

from slipway.apps.models import MAX_VARIABLES_BYTES
from slipway.db import Connection, Database
from slipway.host.agent.releases import check_variables
from slipway.web import store

NEW_APP = {"name": "shop", "repository": "https://git.example.org/shop.git"}


async def test_errors_are_problem_details(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        taken = {"name": "blog", "repository": "https://git.example.org/y"}
        for answer, status, code in (
            (await owner.get("/api/apps/missing"), 404, "not-found"),
            (await owner.get("/api/nothing"), 404, "not-found"),
            (
                await owner.post("/api/apps", json=taken),
                409,
                "conflict",
            ),
            (await owner.post("/api/apps", content=b"{"), 400, "invalid"),
            (await owner.post("/api/apps", content=b"x" * 2_000_000), 413, "too-large"),
            (await owner.put("/api/apps", json={}), 405, "method-not-allowed"),
        ):
            problem = answer.json()
            assert answer.headers["content-type"] == "application/problem+json"
            assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code), problem
            assert problem["title"]
            assert problem["detail"]


async def test_every_wrong_field_is_told_at_once(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        answer = await owner.post("/api/apps", json={"name": 7, "branch": [], "colour": "blue"})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"name", "repository", "branch", "colour"}


async def test_wrong_parts_of_a_query_are_told_by_name(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for query in ("limit=0", "limit=101", "limit=x", "cursor=%00", "cursor=!!", "cursor=MQ"):
            answer = await owner.get(f"/api/apps?{query}")
            assert answer.status_code == 422, (query, answer.text)
            assert answer.json()["errors"][0]["field"] == query.split("=")[0]


async def test_an_error_of_slipways_own_tells_an_id_and_nothing_else(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise RuntimeError("the password is swordfish")

    monkeypatch.setattr(cast.slipway.apps, "list_apps", broken)
    async with cast.client("owner") as owner:
        answer = await owner.get("/api/apps")
    assert answer.status_code == 500
    assert answer.json()["id"]
    assert "swordfish" not in answer.text
    assert "RuntimeError" not in answer.text


async def test_without_the_database_answers_say_so(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        assert (await owner.get("/api/apps")).status_code == 200
        dsn, cast.slipway.db._dsn = cast.slipway.db._dsn, "postgresql:///nothing?host=/nonexistent"
        await cast.slipway.db.close()
        answer = await owner.get("/api/apps")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await owner.get("/api/ping")).status_code == 200
        cast.slipway.db._dsn = dsn
        assert (await owner.get("/api/apps")).status_code == 200


async def test_a_list_comes_in_pages_that_miss_nothing_and_repeat_nothing(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for number in range(7):
            body = {"name": f"app-{number}", "repository": "https://git.example.org/a.git"}
            assert (await owner.post("/api/apps", json=body)).status_code == 201
        seen: list[str] = []
        query = "limit=3"
        while query:
            found = (await owner.get(f"/api/apps?{query}")).json()
            seen += [app["name"] for app in found["items"]]
            query = f"limit=3&cursor={found['next']}" if found["next"] else ""
        assert seen == sorted([*(f"app-{number}" for number in range(7)), "blog"])
        events = (await owner.get("/api/events?limit=5")).json()
        older = (await owner.get(f"/api/events?limit=100&cursor={events['next']}")).json()
        ids = [event["id"] for event in events["items"] + older["items"]]
        assert ids == sorted(ids, reverse=True)
        assert len(set(ids)) == len(ids)


async def test_the_same_key_with_the_same_request_gets_the_same_answer_and_does_it_once(cast: Panel) -> None:
    path = "/api/apps/blog/environments/production/deployments"
    async with cast.client("member") as member:
        first = await member.post(path, json={}, headers={"idempotency-key": "push-1"})
        again = await member.post(path, json={}, headers={"idempotency-key": "push-1"})
        assert first.status_code == again.status_code == 201
        assert first.json() == again.json()
        assert again.headers["idempotency-replayed"] == "true"
        assert len((await member.get("/api/apps/blog/deployments")).json()["items"]) == 1
        other = await member.post(path, json={"commit": "a" * 40}, headers={"idempotency-key": "push-1"})
        assert other.status_code == 422
        for key in ("", "x" * 256, "has space"):
            assert (await member.post(path, json={}, headers={"idempotency-key": key})).status_code == 422, key
    async with cast.client("owner") as owner:
        theirs = await owner.post(path, json={}, headers={"idempotency-key": "push-1"})
        assert theirs.json()["id"] != first.json()["id"], "keys belong to accounts"


async def test_of_many_requests_with_one_key_at_once_one_is_done(cast: Panel) -> None:
    async with cast.client("member") as member:
        answers = await asyncio.gather(
            *(member.post("/api/apps", json=NEW_APP, headers={"idempotency-key": "k"}) for _ in range(10))
        )
    statuses = {answer.status_code for answer in answers}
    assert statuses <= {201, 409}
    assert len({answer.text for answer in answers if answer.status_code == 201}) == 1


async def test_what_was_refused_may_be_tried_again_with_the_same_key(cast: Panel) -> None:
    async with cast.client("member") as member:
        key = {"idempotency-key": "k"}
        wrong = NEW_APP | {"repository": "ext::sh -c id"}
        assert (await member.post("/api/apps", json=wrong, headers=key)).status_code == 422
        assert (await member.post("/api/apps", json=NEW_APP, headers=key)).status_code == 201


async def test_what_may_have_been_done_is_not_done_again_with_the_same_key(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database goes away after the work and before its answer is kept."""
    keep = store.keep_answer

    async def lost(*_: object) -> None:
        raise ConnectionResetError("the server closed the connection")

    monkeypatch.setattr(store, "keep_answer", lost)
    path, key = "/api/apps/blog/environments/production/deployments", {"idempotency-key": "push-1"}
    async with cast.client("member") as member:
        first = await member.post(path, json={}, headers=key)
        assert first.status_code == 201, "it was done, and says so"
        monkeypatch.setattr(store, "keep_answer", keep)
        async with cast.slipway.db.connection() as connection:
            await connection.execute("UPDATE idempotency_keys SET created_at = now() - interval '23 hours'")
        for again in await asyncio.gather(*(member.post(path, json={}, headers=key) for _ in range(3))):
            assert again.status_code == 409
        again = await member.post(path, json={}, headers=key)
        assert "may have been done" in again.json()["detail"]
        assert "new key" in again.json()["detail"]
        assert (await member.post(path, json={"commit": "a" * 40}, headers=key)).status_code == 422
        assert len((await member.get("/api/apps/blog/deployments")).json()["items"]) == 1
        assert (await member.post(path, json={}, headers={"idempotency-key": "push-2"})).status_code == 201


async def test_a_request_that_fails_within_keeps_its_key_and_one_under_way_is_told_as_such(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def broken(*_: object, **__: object) -> None:
        begun.set()
        await go_on.wait()
        raise RuntimeError("half of it is done")

    monkeypatch.setattr(cast.slipway.deployments, "deploy", broken)
    path, key = "/api/apps/blog/environments/production/deployments", {"idempotency-key": "push-1"}
    async with cast.client("member") as member:
        first = asyncio.create_task(member.post(path, json={}, headers=key))
        await begun.wait()
        assert "still under way" in (await member.post(path, json={}, headers=key)).json()["detail"]
        go_on.set()
        assert (await first).status_code == 500
        assert "may have been done" in (await member.post(path, json={}, headers=key)).json()["detail"]


async def test_a_first_request_that_ends_while_its_key_is_looked_up_is_not_told_as_one_without_an_end(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy, claim = cast.slipway.deployments.deploy, store.claim_key
    begun, go_on = asyncio.Event(), asyncio.Event()
    path, key = "/api/apps/blog/environments/production/deployments", {"idempotency-key": "push-1"}

    async def slow(*arguments: Any, **options: Any) -> Any:
        begun.set()
        await go_on.wait()
        return await deploy(*arguments, **options)

    monkeypatch.setattr(cast.slipway.deployments, "deploy", slow)
    async with cast.client("member") as member:
        first = asyncio.create_task(member.post(path, json={}, headers=key))
        await begun.wait()

        async def late(*arguments: Any) -> Any:
            seen = await claim(*arguments)
            go_on.set()
            assert (await first).status_code == 201
            return seen

        monkeypatch.setattr(store, "claim_key", late)
        again = await member.post(path, json={}, headers=key)
        assert again.status_code == 409
        assert "still under way" in again.json()["detail"]
        assert (await member.post(path, json={}, headers=key)).json() == first.result().json()


async def test_a_key_that_is_given_back_while_it_is_looked_up_is_taken(database: Database) -> None:
    class RefusedMeanwhile:
        """A connection on which the first request is refused just before its row is looked up."""

        def __init__(self, connection: Connection) -> None:
            self.execute, self.fetchval, self._connection = connection.execute, connection.fetchval, connection

        async def fetchrow(self, *arguments: Any) -> Any:
            await store.release_key(self._connection, 0, "push-1")
            return await self._connection.fetchrow(*arguments)

    async with database.connection() as connection:
        assert await store.claim_key(connection, 0, "push-1", b"one") is None
        again: Any = RefusedMeanwhile(connection)
        assert await store.claim_key(again, 0, "push-1", b"two") is None
        kept = await store.claim_key(connection, 0, "push-1", b"three")
    assert kept is not None
    assert (kept.request_hash, kept.status) == (b"two", None)


async def test_settings_change_one_by_one_and_wrong_ones_change_nothing(cast: Panel) -> None:
    path = "/api/apps/blog/environments/production"
    async with cast.client("member") as member:
        changed = await member.patch(path, json={"settings": {"memory": 256}})
        assert changed.json()["settings"]["memory"] == 256
        changed = await member.patch(path, json={"settings": {"health_path": "/up"}, "branch": "next"})
        assert (changed.json()["settings"]["memory"], changed.json()["settings"]["health_path"]) == (256, "/up")
        assert (changed.json()["branch"], changed.json()["own_branch"]) == ("next", True)
        for settings in ({"memory": 1}, {"memory": "much"}, {"colour": "blue"}, {"start_command": "a\nb"}):
            wrong = await member.patch(path, json={"settings": settings})
            assert wrong.status_code == 422, settings
            assert wrong.json()["errors"][0]["field"] == next(iter(settings)), wrong.text
        assert (await member.get(path)).json()["settings"]["memory"] == 256
        assert (await member.patch(path, json={"branch": None})).json()["own_branch"] is False


async def test_more_variables_than_a_process_can_be_started_with_are_refused_before_they_are_kept(cast: Panel) -> None:
    path = "/api/apps/blog/environments/production/variables"
    value = "x" * 32_000
    async with cast.client("member") as member:
        first = await member.patch(path, json={"set": {f"A{n}": value for n in range(40)}})
        assert first.status_code == 200, first.text
        more = await member.patch(path, json={"set": {f"B{n}": value for n in range(10)}})
        assert more.status_code == 422
        assert f"{MAX_VARIABLES_BYTES:,} at most" in more.json()["detail"]
        assert len((await member.get(path)).json()) == 40
        instead = {"set": {f"B{n}": value for n in range(10)}, "unset": [f"A{n}" for n in range(10)]}
        assert (await member.patch(path, json=instead)).status_code == 200
    app = await cast.slipway.apps.get_app("blog")
    environment = await cast.slipway.apps.get_environment(app)
    async with cast.slipway.db.connection() as connection:
        check_variables(await cast.slipway.apps.all_values(connection, environment.id))  # as the host agent does


async def test_the_schema_names_every_route_of_the_api(cast: Panel) -> None:
    async with cast.client("nobody") as nobody:
        schema = (await nobody.get("/api/openapi.json")).json()
        docs = (await nobody.get("/api/docs")).text
    assert schema["openapi"].startswith("3.1")
    routes = {route.path_format for route in cast.slipway.application().litestar.routes}
    api = {path for path in routes if path.startswith("/api/") and not path.startswith(("/api/docs", "/api/openapi"))}
    assert set(schema["paths"]) == api
    for path, item in schema["paths"].items():
        assert path in docs
        for method in item.values():
            assert method["description"], f"{path} has no words"
            assert "application/problem+json" in method["responses"]["default"]["content"]
    assert schema["components"]["schemas"]["Problem"]["required"]


async def test_a_change_of_an_app_keeps_what_it_does_not_name_and_is_recorded(cast: Panel) -> None:
    async with cast.client("member") as member:
        changed = await member.patch("/api/apps/blog", json={"branch": "next"})
        assert (changed.status_code, changed.json()["branch"]) == (200, "next")
        assert changed.json()["repository"] == "https://git.example.org/blog.git"
        assert (await member.get("/api/apps/blog")).json() == changed.json()
        assert "app.changed" in (await member.get("/api/events")).text
        refused = await member.patch("/api/apps/blog", json={"base_directory": "../x"})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "base_directory")
        assert (await member.patch("/api/apps/blog", json={"name": "other"})).status_code == 422
