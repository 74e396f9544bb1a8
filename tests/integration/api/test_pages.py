"""Pages as a browser without scripts asks for them: what is refused, and what one form does."""

import httpx
import pytest
from tests.integration.api.conftest import Panel

from slipway.apps.service import CHANGED_VARIABLES

OVERVIEW = "/apps/blog/production"


async def press(client: httpx.AsyncClient, panel: Panel, page: str, action: str, **fields: str) -> httpx.Response:
    """A button of a page."""
    return await client.post(action, data=fields, headers={"referer": panel.origin + page})


async def test_a_refused_button_lands_on_its_page_again_which_says_why_once(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        refused = await press(owner, cast, OVERVIEW + "/releases?x=1", OVERVIEW + "/rollback", to="1")
        assert (refused.status_code, refused.headers["location"]) == (303, OVERVIEW + "/releases")
        owner.headers["cookie"] += "; slipway-refusal=" + refused.cookies["slipway-refusal"]
        shown = await owner.get(OVERVIEW + "/releases")
        assert 'role="alert"' in shown.text
        assert "Nothing is live in this environment yet" in shown.text
        assert "slipway-refusal=" in shown.headers["set-cookie"], "it is told once"


async def test_a_refused_button_of_no_page_of_ours_is_answered_by_an_error_page(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for page in ("http://evil.example/", "http://[", cast.origin + "//evil.example/", ""):
            refused = await owner.post(OVERVIEW + "/rollback", data={"to": "1"}, headers={"referer": page})
            assert refused.status_code == 409, page
            assert "Nothing is live in this environment yet" in refused.text


async def test_a_refusal_that_somebody_else_wrote_is_not_shown(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        refused = await press(owner, cast, OVERVIEW, OVERVIEW + "/rollback", to="1")
    async with cast.client("member") as member:
        for forged in (refused.cookies["slipway-refusal"], "x", "é", "QUJD"):
            cookie = member.headers["cookie"] + "; slipway-refusal=" + forged
            shown = await member.get(OVERVIEW, headers={"cookie": cookie.encode()})
            assert shown.status_code == 200
            assert 'role="alert"' not in shown.text


async def test_the_addresses_of_the_accounts_forms_lead_to_the_account(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for path in ("/account/tokens", "/account/password"):
            assert (await owner.get(path)).headers["location"] == "/account"


async def test_only_who_may_make_an_app_gets_the_page_for_it(cast: Panel) -> None:
    for who, status in (("member", 200), ("viewer", 403), ("outsider", 403)):
        async with cast.client(who) as client:
            answer = await client.get("/apps/new")
            assert answer.status_code == status, who


@pytest.mark.parametrize("secret", ["", "yes"])
async def test_everything_on_the_variables_page_is_saved_in_one_step(cast: Panel, secret: str) -> None:
    environment = await cast.slipway.apps.get_environment(await cast.slipway.apps.get_app("blog"))
    variables = "/api/apps/blog/environments/production/variables"
    told = []

    async def listen(**_: object) -> None:
        told.append(1)

    async with cast.client("owner") as owner:
        await owner.patch(variables, json={"set": {"TOKEN": "old", "GONE": "x"}})
        cast.slipway.signals.connect(CHANGED_VARIABLES, listen)
        form = {"value:TOKEN": "new", "remove": "GONE", "new_key": "PLAIN", "new_value": "1", "secret": secret}
        saved = await press(owner, cast, OVERVIEW + "/variables", OVERVIEW + "/variables", **form)
        assert saved.status_code == 303, saved.text
    assert len(told) == 1, "each is a release of its own"
    kept = {one.key: one.secret for one in await cast.slipway.apps.list_variables(environment)}
    assert kept == {"TOKEN": True, "PLAIN": bool(secret)}
