"""Strings that mean something to a shell, to SQL, to HTML, to a path or to nobody, through every field."""

from collections.abc import Iterator
from urllib.parse import quote

import pytest
from tests.integration.api.conftest import Panel

HOSTILE = [
    "",
    " ",
    "\0",
    "a\0b",
    "\n",
    "a\nb",
    "-rf",
    "--upload-pack=touch /tmp/canary",
    ";$(id)",
    "`id`",
    "'; DROP TABLE apps; --",
    '"><script>alert(1)</script>',
    "{{7*7}}",
    "{% raw %}",
    "..",
    "../../etc/passwd",
    "a/../b",
    "/etc/passwd",
    "ext::sh -c id",
    "file:///etc/passwd",
    "\u202e\u0000",
    "\ud7ff\ue000",
    "ﬁ",
    "😀" * 5000,
    "x" * 100_000,
    "%00",
    "%2e%2e%2f",
]


NAMELESS = [text for text in HOSTILE if text not in ("", " ", "ﬁ", "/etc/passwd")]
TEXT_SETTINGS = ("install_command", "build_command", "start_command", "release_command", "public_folder", "health_path")
ENVIRONMENT = "/api/apps/blog/environments/production"


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
async def test_no_string_in_any_field_breaks_the_api(cast: Panel, text: str) -> None:
    """Each is refused with a reason or taken as what it is; never an error of Slipway's own."""
    async with cast.client("owner") as owner:
        for method, path, body in _everything_with(text):
            answer = await owner.request(method, path, **({} if body is None else {"json": body}))
            assert answer.status_code < 500, (method, path[:80], body and str(body)[:80], answer.text[:300])


def _everything_with(text: str) -> Iterator[tuple[str, str, object]]:
    fine = {"name": "fine", "repository": "https://git.example.org/a.git", "branch": "main", "base_directory": ""}
    for field in fine:
        yield "POST", "/api/apps", fine | {field: text}
        yield "DELETE", "/api/apps/fine", None
    for field in ("repository", "branch", "base_directory"):
        yield "PATCH", "/api/apps/blog", {field: text}
    yield "POST", "/api/apps/blog/environments", {"name": text, "branch": "main"}
    yield "POST", "/api/apps/blog/environments", {"name": "staging", "branch": text}
    for change in ({"set": {text: "x"}}, {"set": {"KEY": text}}, {"unset": [text]}):
        yield "PATCH", f"{ENVIRONMENT}/variables", change
    for name in TEXT_SETTINGS:
        yield "PATCH", ENVIRONMENT, {"settings": {name: text}}
    yield "PATCH", ENVIRONMENT, {"branch": text}
    yield "PATCH", ENVIRONMENT, {"settings": {text: 1}}
    yield "POST", f"{ENVIRONMENT}/deployments", {"commit": text}
    yield "POST", "/api/tokens", {"name": text}
    if len(text) < 2000:
        part = quote(text, safe="") or "%20"
        yield "GET", f"/api/apps/{part}", None
        yield "GET", f"/api/apps/blog/environments/{part}", None
        yield "GET", f"{ENVIRONMENT}/variables/{part}", None
        yield "GET", f"/api/{part}", None
        for query in ("/api/apps?cursor=", "/api/apps?limit=", f"{ENVIRONMENT}/log?before="):
            yield "GET", query + part, None


@pytest.mark.parametrize("text", NAMELESS, ids=lambda text: repr(text)[:20])
async def test_a_name_or_repository_that_is_more_than_a_name_is_refused(cast: Panel, text: str) -> None:
    async with cast.client("owner") as owner:
        for body in (
            {"name": text, "repository": "https://git.example.org/a.git"},
            {"name": "fine", "repository": text},
        ):
            answer = await owner.post("/api/apps", json=body)
            assert answer.status_code == 422, body
            assert answer.json()["errors"][0]["field"] in body


async def test_numbers_that_no_column_holds_are_refused(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for number in (-1, 0, 2**31, 2**63, 2**64, 10**40, 1.5, "NaN"):
            for answer in (
                await owner.get(f"/api/apps/blog/deployments/{number}"),
                await owner.post("/api/apps/blog/environments/production/rollback", json={"to": number}),
                await owner.put("/api/apps/blog/environments/production/scale", json={"web": number}),
                await owner.delete(f"/api/tokens/{number}"),
            ):
                assert 400 <= answer.status_code < 500, (number, answer.request.url.path, answer.text[:200])


async def test_json_that_is_deep_or_strange_is_refused(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        for body in (b"[" * 100_000, b"{}{}", b"\xff\xfe", b"null", b"[]", b'"x"', b'{"name":' * 5000, b""):
            answer = await owner.post("/api/apps", content=body, headers={"content-type": "application/json"})
            assert answer.status_code in (400, 422), body[:20]
