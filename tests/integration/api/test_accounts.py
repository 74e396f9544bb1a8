"""Setting up, signing in, sessions, tokens."""

import asyncio

import bcrypt
import pytest
from tests.integration.api.conftest import PASSWORD, Panel

from slipway.accounts import passwords, service
from slipway.accounts.service import FAILURES_FROM_ADDRESS, FAILURES_PER_ADDRESS, SignInRefused
from slipway.errors import Conflict, Invalid, NotFound, TooManyRequests
from slipway.web.csrf import token_for


async def test_the_operators_link_makes_the_first_owner(panel: Panel) -> None:
    async with panel.client("operator") as operator:
        url = (await operator.post("/api/setup-link")).json()["url"]
    assert url.startswith(f"{panel.origin}/setup/")
    account, panel.cookies["owner"] = await panel.slipway.teams.set_up(
        url.rpartition("/")[2], "owner@example.org", "Owner", PASSWORD
    )
    async with panel.client("owner") as owner:
        me = (await owner.get("/api/account")).json()
    assert me["email"] == "owner@example.org"
    assert me["id"] == account.id
    assert [(team["name"], team["role"]) for team in me["teams"]] == [("main", "owner")]


async def test_a_setup_link_works_once(panel: Panel) -> None:
    link = await panel.slipway.accounts.make_setup_link()
    attempts = [panel.slipway.teams.set_up(link, f"a{n}@example.org", "A", PASSWORD) for n in range(3)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, tuple) for one in ended) == 1
    assert sum(isinstance(one, NotFound) for one in ended) == 2


async def test_a_new_setup_link_voids_the_older_one(panel: Panel) -> None:
    older = await panel.slipway.accounts.make_setup_link()
    await panel.slipway.accounts.make_setup_link()
    with pytest.raises(NotFound):
        await panel.slipway.teams.set_up(older, "a@example.org", "A", PASSWORD)


async def test_a_setup_link_of_a_day_ago_is_over(panel: Panel) -> None:
    link = await panel.slipway.accounts.make_setup_link()
    async with panel.slipway.db.connection() as connection:
        await connection.execute("UPDATE setup_links SET expires_at = now() - interval '1 second'")
    assert not await panel.slipway.accounts.is_setup_link_open(link)
    with pytest.raises(NotFound):
        await panel.slipway.teams.set_up(link, "a@example.org", "A", PASSWORD)


async def test_a_setup_link_is_the_way_back_in_and_ends_the_old_sessions(panel: Panel) -> None:
    _, panel.cookies["before"] = await panel.make_account("a@example.org")
    link = await panel.slipway.accounts.make_setup_link()
    await panel.slipway.teams.set_up(link, "A@Example.org", "A", "another good password")
    async with panel.client("before") as before:
        assert (await before.get("/api/account")).status_code == 401
    await panel.slipway.accounts.sign_in("a@example.org", "another good password", "192.0.2.1")
    with pytest.raises(SignInRefused):
        await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "192.0.2.1")


@pytest.mark.parametrize("password", ["short", "ä" * 37, "has a \0 in it", "\ud800 lone surrogate"])
async def test_a_password_that_bcrypt_would_cut_or_refuse_is_refused(panel: Panel, password: str) -> None:
    link = await panel.slipway.accounts.make_setup_link()
    with pytest.raises(Invalid) as refused:
        await panel.slipway.teams.set_up(link, "a@example.org", "A", password)
    assert refused.value.field == "password"
    assert await panel.slipway.accounts.is_setup_link_open(link), "a typing error does not use up the link"


async def test_each_sign_in_has_a_session_of_its_own(panel: Panel) -> None:
    _, first = await panel.make_account("a@example.org")
    _, second = await panel.slipway.accounts.sign_in("A@EXAMPLE.org", PASSWORD, "192.0.2.1")
    assert first != second
    panel.cookies |= {"first": first, "second": second}
    await panel.slipway.accounts.sign_out(second)
    async with panel.client("first") as client:
        assert (await client.get("/api/account")).status_code == 200
    async with panel.client("second") as client:
        assert (await client.get("/api/account")).status_code == 401


async def test_what_is_stored_of_sessions_and_tokens_signs_nobody_in(panel: Panel) -> None:
    account_id, session = await panel.make_account("a@example.org")
    _, secret = await panel.slipway.accounts.create_token(_actor(account_id), account_id, "ci")
    async with panel.slipway.db.connection() as connection:
        stored = [
            *await connection.fetch("SELECT token_hash FROM sessions"),
            *await connection.fetch("SELECT token_hash FROM tokens"),
        ]
    for row in stored:
        assert session.encode() not in row["token_hash"]
        assert secret.encode() not in row["token_hash"]


async def test_a_session_that_is_not_used_ends_and_one_that_is_used_goes_on(panel: Panel) -> None:
    _, panel.cookies["a"] = await panel.make_account("a@example.org")
    async with panel.slipway.db.connection() as connection, panel.client("a") as client:
        await connection.execute(
            "UPDATE sessions SET last_seen_at = now() - interval '6 minutes', expires_at = now() + interval '1 hour'"
        )
        assert (await client.get("/api/account")).status_code == 200
        left = await connection.fetchval("SELECT expires_at - now() FROM sessions")
        assert left.days >= 13, "using it makes it last"
        before = await connection.fetchval("SELECT xmin FROM sessions")
        await client.get("/api/account")
        assert await connection.fetchval("SELECT xmin FROM sessions") == before, "not written on every request"
        await connection.execute("UPDATE sessions SET expires_at = now() - interval '1 second'")
        assert (await client.get("/api/account")).status_code == 401


async def test_an_unknown_address_costs_the_same_work_as_a_wrong_password(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    work: list[bytes] = []
    check = bcrypt.checkpw

    def counted(given: bytes, stored: bytes) -> bool:
        work.append(stored[:7])  # the algorithm and its cost
        return check(given, stored)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    passwords._of_nobody.cache_clear()
    await panel.make_account("a@example.org")
    for email in ("a@example.org", "nobody@example.org"):
        with pytest.raises(SignInRefused):
            await panel.slipway.accounts.sign_in(email, "wrong password", "192.0.2.1")
    assert work == [f"$2b${passwords.COST:02}$".encode()] * 2


async def test_whoever_guesses_an_accounts_password_does_not_lock_its_owner_out_elsewhere(panel: Panel) -> None:
    await panel.make_account("a@example.org")
    for _ in range(FAILURES_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await panel.slipway.accounts.sign_in("a@example.org", "wrong password", "192.0.2.1")
    with pytest.raises(TooManyRequests) as refused:
        await panel.slipway.accounts.sign_in("A@example.org", PASSWORD, "192.0.2.1")
    assert 0 < refused.value.retry_after <= 15 * 60
    await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "192.0.2.2")


async def test_guessers_from_many_addresses_are_refused_and_the_owner_is_not_where_he_is_known(
    panel: Panel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "FAILURES_PER_EMAIL", 12)
    await panel.make_account("a@example.org")
    await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "198.51.100.7")
    for attempt in range(service.FAILURES_PER_EMAIL):
        with pytest.raises(SignInRefused):
            await panel.slipway.accounts.sign_in("a@example.org", "wrong password", f"192.0.2.{attempt}")
    with pytest.raises(TooManyRequests):
        await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "192.0.2.99")
    await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "198.51.100.7")
    # Where he is known, no more is tried than anywhere.
    for _ in range(FAILURES_FROM_ADDRESS):
        with pytest.raises(SignInRefused):
            await panel.slipway.accounts.sign_in("a@example.org", "wrong password", "198.51.100.7")
    with pytest.raises(TooManyRequests):
        await panel.slipway.accounts.sign_in("a@example.org", PASSWORD, "198.51.100.7")


async def test_too_many_failures_from_an_address_are_refused_whatever_account_they_try(panel: Panel) -> None:
    async with panel.slipway.db.connection() as connection:
        await connection.execute(
            "INSERT INTO sign_in_failures (subject) SELECT 'address:192.0.2.1' FROM generate_series(1, $1)",
            FAILURES_PER_ADDRESS,
        )
    with pytest.raises(TooManyRequests):
        await panel.slipway.accounts.sign_in("anyone@example.org", "wrong password", "192.0.2.1")


async def test_the_address_that_counts_is_the_one_nginx_put_last_whatever_stands_before_it(panel: Panel) -> None:
    async def attempt(number: int) -> int:
        form = {"email": f"somebody-{number}@example.org", "password": "wrong password"}
        forged = f"203.0.113.{number}"
        several = [("x-forwarded-for", forged), ("x-forwarded-for", "192.0.2.1")]
        headers = several if number % 2 else [("x-forwarded-for", f"{forged}, 192.0.2.1")]
        return (await browser.post("/sign-in", data=form, headers=headers)).status_code

    async with panel.client("nobody") as browser:
        answers = [await attempt(number) for number in range(FAILURES_PER_ADDRESS + 3)]
    assert answers == [422] * FAILURES_PER_ADDRESS + [429] * 3


async def test_a_hundred_attempts_at_once_get_no_more_guesses_than_one_after_the_other(panel: Panel) -> None:
    await panel.make_account("a@example.org")
    attempts = [panel.slipway.accounts.sign_in("a@example.org", "wrong password", "192.0.2.1") for _ in range(40)]
    ended = await asyncio.gather(*attempts, return_exceptions=True)
    assert sum(isinstance(one, SignInRefused) for one in ended) <= FAILURES_FROM_ADDRESS
    assert all(isinstance(one, SignInRefused | TooManyRequests) for one in ended)


async def test_a_token_acts_for_its_account_until_it_is_deleted(cast: Panel) -> None:
    async with cast.client("member") as member:
        made = (await member.post("/api/tokens", json={"name": "ci"})).json()
        assert made["token"].startswith("slw_")
        listed = (await member.get("/api/tokens")).json()
        assert [one["name"] for one in listed] == ["ci"]
        assert made["token"] not in str(listed)
    bearer = {"authorization": f"Bearer {made['token']}"}
    async with cast.client("nobody") as script:
        assert (await script.get("/api/apps/blog", headers=bearer)).status_code == 200
        assert (await script.delete("/api/apps/blog", headers=bearer)).status_code == 403, "no more than its account"
        another = await script.post("/api/tokens", json={"name": "more"}, headers=bearer)
        assert another.status_code == 403
    async with cast.client("viewer") as viewer:
        assert (await viewer.delete(f"/api/tokens/{made['id']}")).status_code == 404, "it is not the viewer's"
    async with cast.client("member") as member:
        assert (await member.delete(f"/api/tokens/{made['id']}")).status_code == 204
    async with cast.client("nobody") as script:
        assert (await script.get("/api/apps/blog", headers=bearer)).status_code == 401


async def test_a_wrong_token_is_refused_even_beside_a_good_session(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for header in ("Bearer slw_wrong", "Bearer", "Basic b3duZXI6eA==", "Bearer " + "x" * 5000):
            answer = await owner.get("/api/account", headers={"authorization": header})
            assert answer.status_code == 401, header[:20]


async def test_the_operator_says_whose_token_it_makes_where_there_are_several_accounts(cast: Panel) -> None:
    async with cast.client("operator") as operator:
        assert (await operator.post("/api/tokens", json={"name": "ci"})).status_code == 422
        made = await operator.post("/api/tokens", json={"name": "ci", "email": "viewer@example.org"})
    async with cast.client("nobody") as script:
        bearer = {"authorization": f"Bearer {made.json()['token']}"}
        assert (await script.get("/api/account", headers=bearer)).json()["email"] == "viewer@example.org"


async def test_two_accounts_cannot_have_one_address_in_other_letters(panel: Panel) -> None:
    account_id, session = await panel.make_account("a@example.org")
    async with panel.slipway.db.transaction() as connection:
        from slipway.accounts import store

        with pytest.raises(Conflict):
            await store.insert_account(connection, "A@EXAMPLE.ORG", "A", "x")
    assert account_id
    assert token_for(session) != session


def _actor(account_id: int) -> object:
    from slipway.events.models import Actor

    return Actor("account", account_id)
