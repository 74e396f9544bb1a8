"""Every route that there is, asked for by everyone: a new route cannot be forgotten."""

from collections.abc import Iterator

import pytest
from litestar.routes import HTTPRoute
from tests.integration.api.conftest import CAST, Panel

from slipway.web.policies import RANKS, Policy, no_such_app

VALUES = {
    "app_name": "blog",
    "environment_name": "production",
    "deployment_id": "999",
    "token_id": "999",
    "key": "NOT_THERE",
}
RANK_OF = {"owner": 3, "member": 2, "viewer": 1, "operator": 3, "outsider": 0, "nobody": 0}
MESSAGE = no_such_app("blog")


def _routes(panel: Panel) -> Iterator[tuple[str, str, Policy]]:
    """(method, path, policy); those that delete, and signing out, come last."""
    found = [
        (method, route.path_format, Policy(handler.opt["policy"]))
        for route in panel.slipway.application().litestar.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
        for method in handler.http_methods
        if method != "OPTIONS"
    ]
    yield from sorted(found, key=lambda one: (one[1] == "/sign-out", one[0] == "DELETE", one[1]))


def _address(path: str) -> str:
    for name, value in VALUES.items():
        path = path.replace(f"{{{name}}}", value)
    return path.replace("{path}", "nothing") if "{" not in path.replace("{path}", "") else path


@pytest.mark.parametrize("who", CAST)
async def test_every_route_lets_through_whom_its_policy_names_and_nobody_else(cast: Panel, who: str) -> None:
    wrong = []
    async with cast.client(who) as client:
        for method, path, policy in _routes(cast):
            is_api = path.startswith("/api")
            if who == "operator" and not is_api:
                continue  # pages are for browsers; the operator has a command line
            body = {"json": {}} if is_api and method in ("POST", "PUT", "PATCH") else {}
            async with client.stream(method, _address(path), **body) as answer:
                streams = "event-stream" in answer.headers.get("content-type", "")
                text = "" if streams else (await answer.aread()).decode()
            allowed = _is_allowed(who, policy)
            if allowed and (answer.status_code in (401, 403) or answer.status_code == 500 or MESSAGE in text):
                wrong.append((method, path, policy, answer.status_code, text[:200]))
            if not allowed and answer.status_code != _refusal(who, policy, is_api):
                wrong.append((method, path, policy, answer.status_code, text[:200]))
    assert not wrong


def _is_allowed(who: str, policy: Policy) -> bool:
    if policy is Policy.PUBLIC:
        return True
    if policy is Policy.OPERATOR:
        return who == "operator"
    if policy is Policy.SIGNED_IN:
        return who != "nobody"
    if policy is Policy.ADMINISTRATOR:
        return RANK_OF[who] >= RANKS[Policy.OWNER]
    if policy is Policy.CREATOR:
        return RANK_OF[who] >= RANKS[Policy.MEMBER]
    return RANK_OF[who] >= RANKS[policy]


def _refusal(who: str, policy: Policy, is_api: bool) -> int:
    if who == "nobody":
        return 401 if is_api else 303
    if who == "outsider" and policy in RANKS:
        return 404
    return 403


async def test_an_app_that_may_not_be_seen_answers_like_one_that_is_not_there(cast: Panel) -> None:
    async with cast.client("outsider") as outsider:
        hidden = await outsider.get("/api/apps/blog")
        missing = await outsider.get("/api/apps/flog")
    assert hidden.status_code == missing.status_code == 404
    assert hidden.text.replace("blog", "NAME") == missing.text.replace("flog", "NAME")


async def test_an_outsider_sees_no_apps_and_no_events(cast: Panel) -> None:
    async with cast.client("outsider") as outsider:
        assert (await outsider.get("/api/apps")).json()["items"] == []
        assert (await outsider.get("/api/events")).json()["items"] == []
        refused = await outsider.post("/api/apps", json={"name": "mine", "repository": "https://git.example.org/x"})
        assert refused.status_code == 403
        into = await outsider.post(
            "/api/apps", json={"name": "mine", "repository": "https://git.example.org/x", "team": 1}
        )
        assert into.status_code == 403


async def test_a_viewer_sees_no_secret(cast: Panel) -> None:
    variables = "/api/apps/blog/environments/production/variables"
    async with cast.client("member") as member:
        set_ = await member.patch(variables, json={"set": {"TOKEN": "s3cret-value"}})
        assert set_.status_code == 200, set_.text
        assert "s3cret-value" not in set_.text
        assert (await member.get(f"{variables}/TOKEN")).json() == {"key": "TOKEN", "value": "s3cret-value"}
    async with cast.client("viewer") as viewer:
        assert "s3cret-value" not in (await viewer.get(variables)).text
        assert (await viewer.get(f"{variables}/TOKEN")).status_code == 403
    async with cast.client("owner") as owner:
        kinds = [event["kind"] for event in (await owner.get("/api/events")).json()["items"]]
    assert kinds[0] == "variable.revealed"


async def test_a_role_that_was_taken_away_counts_at_once(cast: Panel) -> None:
    async with cast.client("member") as member:
        account = (await member.get("/api/account")).json()["id"]
        assert (await member.get("/api/apps/blog")).status_code == 200
        await cast.set_role(account, 1, None)
        assert (await member.get("/api/apps/blog")).status_code == 404
