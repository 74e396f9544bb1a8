"""How certificates are seen and asked for: by whom, and in what words."""

from datetime import timedelta

from tests.integration.api.conftest import Panel

from slipway import clock
from slipway.certificates import store
from slipway.certificates.models import FIRST_PROMISE

BLOG = "/api/apps/blog/environments/production/certificate"


async def with_one(panel: Panel, *, failed: str | None = None) -> None:
    """A certificate of the panel's and one of the app's, as the host agent would have brought them."""
    now = clock.now()
    async with panel.slipway.db.transaction() as connection:
        environment = await connection.fetchval("SELECT min(id) FROM environments")
        for hostname, of in (("panel.localhost", None), ("blog.localhost", environment)):
            await store.want(connection, hostname, of)
            one = await store.find_by_hostname(connection, hostname)
            assert one is not None
            await store.begin(connection, one.id, now)
            ends = now + timedelta(days=90)
            await store.succeed(
                connection, one.id, "An authority", "1f", now, ends, "ab" * 32, now + timedelta(days=60)
            )
            if failed and of:
                await store.fail(connection, one.id, failed, 1, now + timedelta(minutes=5))


async def test_everybody_who_is_signed_in_sees_the_panels_and_members_of_a_team_its_apps(cast: Panel) -> None:
    await with_one(cast)
    for who, seen in (
        ("viewer", ["panel.localhost", "blog.localhost"]),
        ("outsider", ["panel.localhost"]),
        ("operator", ["panel.localhost", "blog.localhost"]),
    ):
        async with cast.client(who) as client:
            answer = await client.get("/api/certificates")
            assert [one["hostname"] for one in answer.json()] == seen
    async with cast.client("nobody") as nobody:
        assert (await nobody.get("/api/certificates")).status_code == 401


async def test_where_none_can_be_had_it_says_why_and_refuses_to_ask(cast: Panel) -> None:
    async with cast.client("operator") as operator:
        status = (await operator.get("/api/status")).json()["certificate"]
        assert (status["state"], status["served"]) == ("off", False)
        assert "plain HTTP" in status["reason"]
        refused = await operator.post("/api/certificates/panel/renew", json={})
        assert refused.status_code == 409
        assert "plain HTTP" in refused.json()["detail"]
        assert (await operator.get(BLOG)).status_code == 404


async def test_the_page_of_an_app_and_the_account_show_how_it_stands(certifying: Panel) -> None:
    await with_one(certifying, failed="Port 80 of blog.localhost cannot be reached from outside.")
    async with certifying.client("operator") as operator:  # before anything was deployed, the page has no address
        await operator.post("/api/apps/blog/environments/production/deployments", json={})
    async with certifying.client("viewer") as viewer:
        page = (await viewer.get("/apps/blog/production")).text
        assert "An authority" in page
        assert "Port 80 of blog.localhost cannot be reached from outside." in page
        assert "Try again" not in page
        assert "An authority" in (await viewer.get("/account")).text
    async with certifying.client("member") as member:
        assert "Try again" in (await member.get("/apps/blog/production")).text


async def test_one_is_asked_for_by_hand_but_not_in_haste(certifying: Panel) -> None:
    await with_one(certifying, failed="The authority is away.")
    async with certifying.client("member") as member:
        refused = await member.post(f"{BLOG}/renew", json={})
        assert refused.status_code == 409
        assert "The authority is away." in refused.json()["detail"]
        async with certifying.slipway.db.transaction() as connection:
            await connection.execute("UPDATE certificates SET tried_at = now() - interval '2 minutes'")
        taken = await member.post(f"{BLOG}/renew", json={})
        assert taken.status_code == 202, taken.text
        assert taken.json()["hostname"] == "blog.localhost"
        kinds = [event["kind"] for event in (await member.get("/api/events")).json()["items"]]
        assert kinds[0] == "certificate.asked"
        assert (await member.post("/api/certificates/panel/renew", json={})).status_code == 403
    async with certifying.slipway.db.transaction() as connection:
        due = await store.find_next(connection)
    assert due is not None
    assert due.hostname == "blog.localhost"
    assert due.next_try_at <= clock.now()


async def test_the_button_of_the_page_asks_for_one(certifying: Panel) -> None:
    await with_one(certifying, failed="The authority is away.")
    page, button = "/apps/blog/production", "/apps/blog/production/certificate"
    async with certifying.client("operator") as operator:
        await operator.post("/api/apps/blog/environments/production/deployments", json={})
    async with certifying.slipway.db.transaction() as connection:
        await connection.execute("UPDATE certificates SET tried_at = now() - interval '2 minutes'")
    async with certifying.client("member") as member:
        assert f'action="{button}"' in (await member.get(page)).text
        pressed = await member.post(button, headers={"referer": certifying.origin + page})
        assert (pressed.status_code, pressed.headers["location"]) == (303, page)
        assert (await member.get("/api/events")).json()["items"][0]["kind"] == "certificate.asked"


async def test_browsers_are_told_to_insist_on_tls_only_once_the_panel_has_a_real_one(tls_panel: Panel) -> None:
    async with tls_panel.client("nobody") as browser:
        assert "strict-transport-security" not in (await browser.get("/api/ping")).headers
        await with_one(tls_panel)
        async with tls_panel.slipway.db.connection() as connection:
            tls_panel.slipway.certificates._panel = await store.find_by_hostname(connection, "panel.localhost")
        told = (await browser.get("/api/ping")).headers["strict-transport-security"]
        assert told == f"max-age={int(FIRST_PROMISE.total_seconds())}"
