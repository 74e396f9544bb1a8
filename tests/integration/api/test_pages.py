"""Pages as a browser without scripts asks for them: what is refused, and what one form does."""

import html.parser
from typing import Any

import httpx
import pytest
from tests.integration.api.conftest import Panel

from slipway.apps.service import CHANGED_VARIABLES
from slipway.dashboard.variables import BODY
from slipway.errors import Unavailable
from slipway.host.protocol import Compare, Drift, Drifted, DriftKind, Thing, Verb
from slipway.web.csrf import token_for

OVERVIEW = "/apps/blog/production"


async def press(client: httpx.AsyncClient, panel: Panel, page: str, action: str, **fields: str) -> httpx.Response:
    """A button of a page."""
    return await client.post(action, data=fields, headers={"referer": panel.origin + page})


class Fields(html.parser.HTMLParser):
    """What a browser sends of the form with this action, as it was drawn."""

    def __init__(self, page: str, action: str) -> None:
        super().__init__()
        self.sent: dict[str, str] = {}
        self._action, self._within = action, False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        one = dict(attrs)
        if tag == "form":
            self._within = one.get("action") == self._action
        if self._within and tag == "input" and (one.get("type") != "checkbox" or "checked" in one):
            self.sent[str(one["name"])] = one.get("value") or ""


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


async def test_a_form_that_was_not_looked_at_is_refused_where_the_browsers_back_still_has_what_was_typed(
    cast: Panel,
) -> None:
    async with cast.client("owner") as owner:
        token = owner.headers.pop("x-csrf-token")
        for page, greatest in ((OVERVIEW + "/settings", 1_000_000), (OVERVIEW + "/variables", BODY)):
            large = await press(owner, cast, page, page, csrf_token=token, pasted="x" * (greatest + 1))
            assert large.status_code == 413, page
            assert "larger than Slipway takes" in large.text
        token = token_for("a session before this one")
        for page in (OVERVIEW + "/settings", OVERVIEW + "/variables"):
            old = await press(owner, cast, page, page, csrf_token=token, pasted="A=1")
            assert old.status_code == 403, page
            assert "opened before you signed in again" in old.text
            assert "slipway-refusal" not in old.cookies


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


async def test_an_old_settings_page_puts_nothing_back_that_somebody_else_changed_meanwhile(cast: Panel) -> None:
    settings, app = "/apps/blog/staging/settings", "/api/apps/blog"
    moved = {"repository": "https://git.example.org/moved.git", "branch": "next", "base_directory": "web"}

    async def source(client: httpx.AsyncClient) -> dict[str, Any]:
        shown = (await client.get(app)).json()
        staging = (await client.get(app + "/environments/staging")).json()
        return {name: shown[name] for name in moved} | {"own": staging["branch"], "drain": staging["settings"]}

    async with cast.client("owner") as owner, cast.client("member") as member:
        await owner.post(app + "/environments", json={"name": "staging", "branch": "next"})
        old = Fields((await owner.get(settings)).text, settings).sent
        assert (await member.patch(app, json=moved)).status_code == 200
        changed = await member.patch(app + "/environments/staging", json={"branch": "newest"})
        assert changed.status_code == 200

        wrong = await press(owner, cast, settings, settings, **old | {"memory": "much"})
        assert wrong.status_code == 422
        again = Fields(wrong.text, settings).sent
        assert again["repository"] == moved["repository"], "what was not edited is drawn as it is now"
        for form in (old, again | {"memory": "512"}):
            saved = await press(owner, cast, settings, settings, **form | {"drain_seconds": "77"})
            assert saved.status_code == 303, saved.text
            kept = await source(owner)
            assert kept.pop("drain")["drain_seconds"] == 77
            assert kept == moved | {"own": "newest"}

        edited = old | {"app_branch": "mine", "base_directory": "", "branch": ""}
        assert (await press(owner, cast, settings, settings, **edited)).status_code == 303
        kept = await source(owner)
        assert (kept["repository"], kept["branch"]) == (moved["repository"], "mine")
        assert (kept["base_directory"], kept["own"]) == ("web", "mine"), "only what was edited"


async def test_what_was_changed_on_the_server_stands_on_the_pages_it_concerns(
    cast: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = await cast.slipway.apps.get_environment(await cast.slipway.apps.get_app("blog"))
    found = (
        Drifted(DriftKind.CHANGED, Thing.SITE, "/sites/of-blog.conf", environment.id, diff="-<was>\n+<is>"),
        Drifted(DriftKind.CHANGED, Thing.OWN, "/own/nginx.conf", diff="+secret-of-the-machine"),
    )

    async def answer(verb: Verb) -> Drift:
        if not isinstance(verb, Compare):
            raise Unavailable("asked for nothing else")
        return Drift(tuple(one for one in found if (verb.environments if one.environment else verb.whole)))

    monkeypatch.setattr(cast.slipway.host, "call", answer)
    await cast.slipway.reconciler.look()
    async with cast.client("viewer") as viewer, cast.client("owner") as owner:
        settings = (await viewer.get(OVERVIEW + "/settings")).text
        assert "/sites/of-blog.conf" in settings
        assert "+&lt;is&gt;" in settings
        assert "/own/nginx.conf" not in settings
        assert "One thing on the server is not as Slipway left it" in (await viewer.get(OVERVIEW)).text
        server = (await owner.get("/system")).text
        assert "/own/nginx.conf" in server
        assert "/sites/of-blog.conf" in server
        assert "secret-of-the-machine" not in server
        assert (await viewer.get("/system")).status_code == 403
        assert (await owner.get("/api/status")).json()["drift"]["findings"] == 2
        assert (await viewer.get("/api/status")).json()["drift"] is None
