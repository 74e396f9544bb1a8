"""What a browser could be made to send: from foreign pages, under foreign names, with invented addresses."""

import asyncio

import pytest
from tests.integration.api.conftest import Panel

from slipway.web.addresses import client_address
from slipway.web.csrf import token_for

NEW_TOKEN = {"json": {"name": "made by a page"}}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://panel.localhost"},  # another port is another origin
        {"origin": "https://panel.localhost:8080"},  # another scheme too
        {"origin": "http://panel.localhost:8080.evil.example"},
        {"origin": ""},
        {"x-csrf-token": ""},
        {"x-csrf-token": "x" * 43},
        {"x-csrf-token": token_for("someone else's session")},
    ],
)
async def test_an_unsafe_request_needs_our_origin_and_the_sessions_token(cast: Panel, headers: dict[str, str]) -> None:
    async with cast.client("owner") as owner:
        answer = await owner.post("/api/tokens", **NEW_TOKEN, headers=headers)
        assert answer.status_code == 403, headers
        assert (await owner.get("/api/tokens")).json() == []


async def test_without_an_origin_the_browsers_own_word_and_the_referrer_count(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        del owner.headers["origin"]
        assert (await owner.post("/api/tokens", **NEW_TOKEN)).status_code == 403
        only_word = {"sec-fetch-site": "same-origin"}
        assert (await owner.post("/api/tokens", **NEW_TOKEN, headers=only_word)).status_code == 403
        foreign = only_word | {"referer": "http://evil.example/?http://panel.localhost:8080"}
        assert (await owner.post("/api/tokens", **NEW_TOKEN, headers=foreign)).status_code == 403
        both = only_word | {"referer": f"{cast.origin}/account"}
        assert (await owner.post("/api/tokens", **NEW_TOKEN, headers=both)).status_code == 201


async def test_a_token_of_the_api_needs_no_proof_of_origin(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        secret = (await owner.post("/api/tokens", **NEW_TOKEN)).json()["token"]
    async with cast.client("nobody") as script:
        headers = {"authorization": f"Bearer {secret}", "origin": "https://elsewhere.example"}
        answer = await script.post("/api/apps/blog/environments/production/deployments", json={}, headers=headers)
        assert answer.status_code == 201, answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "127.0.0.1:8080", "panel.localhost:80", "panel.localhost.evil.example", ""]
)
async def test_only_the_panels_own_name_is_answered(cast: Panel, host: str) -> None:
    async with cast.client("owner") as owner:
        answer = await owner.get("/api/account", headers={"host": host})
        assert answer.status_code in (400, 421), host
        assert "example.org" not in answer.text


async def test_two_host_headers_are_refused(cast: Panel) -> None:
    reader, writer = await asyncio.open_unix_connection(str(cast.settings.paths.web_socket))
    writer.write(b"GET /api/ping HTTP/1.1\r\nHost: panel.localhost:8080\r\nHost: evil.example\r\n\r\n")
    status = (await reader.readline()).split()[1]
    writer.close()
    assert status in (b"400", b"421")


async def test_nothing_that_a_request_says_makes_it_the_operators(cast: Panel) -> None:
    async with cast.client("nobody") as nobody:
        for headers in (
            {"slipway_operator": "true"},
            {"slipway-operator": "True"},
            {"x-forwarded-for": "unix:"},
            {"x-forwarded-user": "root"},
            {"cookie": "slipway_operator=true"},
        ):
            assert (await nobody.post("/api/setup-link", headers=headers)).status_code == 401


async def test_over_tls_the_cookie_of_plain_http_is_not_taken_and_the_other_way_round(
    panel: Panel, tls_panel: Panel
) -> None:
    for one, right, wrong in (
        (panel, "slipway-local", "__Host-slipway"),
        (tls_panel, "__Host-slipway", "slipway-local"),
    ):
        _, session = await one.make_account(f"{right}@example.org".replace("__", ""))
        async with one.client("nobody") as browser:
            assert (await browser.get("/api/account", headers={"cookie": f"{right}={session}"})).status_code == 200
            assert (await browser.get("/api/account", headers={"cookie": f"{wrong}={session}"})).status_code == 401


async def test_every_answer_carries_the_security_headers_errors_too(cast: Panel, tls_panel: Panel) -> None:
    async with cast.client("owner") as owner:
        for path in ("/api/apps", "/api/nothing", "/nothing", "/api/docs", "/api/changes", "/sign-in"):
            async with owner.stream("GET", path) as answer:
                assert "default-src 'self'" in answer.headers["content-security-policy"], path
                assert "unsafe" not in answer.headers["content-security-policy"], path
                assert answer.headers["x-content-type-options"] == "nosniff", path
                assert answer.headers["referrer-policy"] == "same-origin", path
                assert "strict-transport-security" not in answer.headers, "local plain HTTP must stay reachable"
                assert "server" not in answer.headers
    async with tls_panel.client("nobody") as browser:
        answer = await browser.get("/api/ping")
        assert "strict-transport-security" not in answer.headers, "its certificate is of its own making yet"


async def test_a_clients_address_is_what_nginx_wrote_whatever_the_client_put_before_it() -> None:
    for forwarded in ("192.0.2.7", "10.0.0.1, 192.0.2.7", "evil, evil,192.0.2.7", ", 192.0.2.7"):
        assert client_address(_Connection([forwarded])) == "192.0.2.7"  # type: ignore[arg-type]
    assert client_address(_Connection(["10.9.9.9", "192.0.2.7"])) == "192.0.2.7"  # type: ignore[arg-type]


class _Connection:
    def __init__(self, forwarded: list[str]) -> None:
        from litestar.datastructures import Headers

        self.headers = Headers([(b"x-forwarded-for", value.encode()) for value in forwarded])
        self.scope = {"client": ("127.0.0.1", 1)}
