"""Figures and the machine over the API, for each of the cast."""

from datetime import datetime, timedelta

import pytest
from tests.integration.api.conftest import Panel

from slipway import clock
from slipway.metrics import store
from slipway.metrics.models import BoxRow, BoxUsed, Row, Traffic, Used, floor, wanted_partitions

FIGURES = "/api/apps/blog/environments/production/metrics"
BOX = "/api/system/metrics"


async def stored(panel: Panel, ago: timedelta = timedelta(minutes=1)) -> datetime:
    """One sample of the app's environment and of the box."""
    at = floor(clock.now() - ago, 60)
    sampled = panel.slipway.metrics.levels[0]
    async with panel.slipway.db.transaction() as connection:
        environment = await connection.fetchval("SELECT e.id FROM environments e JOIN apps a ON a.id = e.app_id")
        await store.make_partitions(connection, wanted_partitions(sampled, store.TABLES, at, at), sampled.width)
        used = Used(15.0, 3.0, 1500, 3000, 1, 50_000_000, 4)
        traffic = Traffic(10, 7, 1, 1, 1, 0.5, 0.2)
        await store.insert_environments(connection, [Row(environment, at, used, traffic=traffic)])
        await store.insert_box(connection, [BoxRow(at, BoxUsed(15.0, 15.0, 30, 60, 1000, 0, 2000, 0.5), traffic)])
    return at


@pytest.mark.parametrize(
    ("who", "of_app", "of_box"),
    [
        ("owner", 200, 200),
        ("member", 200, 403),
        ("viewer", 200, 403),
        ("outsider", 404, 403),
        ("nobody", 401, 401),
        ("operator", 200, 200),
    ],
)
async def test_figures_are_for_the_apps_team_and_the_boxs_for_those_who_look_after_it(
    cast: Panel, who: str, of_app: int, of_box: int
) -> None:
    await stored(cast)
    async with cast.client(who) as client:
        assert (await client.get(FIGURES)).status_code == of_app
        for path in (BOX, "/api/system"):
            assert (await client.get(path)).status_code == of_box
        asked = await client.put("/api/system/security-updates", json={"on": True})
        assert asked.status_code == (409 if of_box == 200 else of_box), "it is no server"
        if who in ("member", "viewer"):
            assert (await client.get("/api/status")).json()["operating_system"] is None


async def test_a_point_has_rates_of_what_was_counted(cast: Panel) -> None:
    at = await stored(cast)
    async with cast.client("viewer") as viewer:
        found = (await viewer.get(FIGURES, params={"step": 60})).json()
    assert found["step"] == 60
    (point,) = found["points"]
    assert datetime.fromisoformat(point["at"]) == at
    assert point == {
        "at": point["at"], "cpu": 0.2, "memory": 50_000_000, "memory_most": 50_000_000, "tasks": 4,
        "read_bytes": 100.0, "written_bytes": 200.0, "oom_kills": 1,
        "answers": {
            "requests": 10, "ok": 7, "redirects": 1, "client_errors": 1, "server_errors": 1, "seconds": 0.05,
            "slowest_seconds": 0.2,
        },
    }  # fmt: skip
    async with cast.client("owner") as owner:
        box = (await owner.get(BOX)).json()
    assert box["points"][0]["cpu"] == 1.0
    assert box["points"][0]["received_bytes"] == 2.0
    assert box["cores"] >= 1


async def test_a_time_can_be_chosen(cast: Panel) -> None:
    at = await stored(cast, timedelta(hours=3))
    async with cast.client("viewer") as viewer:
        assert (await viewer.get(FIGURES)).json()["points"] == []
        around = {"from": (at - timedelta(minutes=5)).isoformat(), "to": (at + timedelta(minutes=5)).isoformat()}
        assert len((await viewer.get(FIGURES, params=around)).json()["points"]) == 1
        month = {"from": (at - timedelta(days=30)).isoformat()}
        assert (await viewer.get(FIGURES, params=month)).json()["step"] % 900 == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"from": "yesterday"},
        {"step": "0"},
        {"step": "x"},
        {"from": "2026-01-01T00:00:00"},
        {"from": "2999-01-01T00:00:00Z"},
        {"from": "2026-01-02T00:00:00Z", "to": "2026-01-01T00:00:00Z"},
        {"from": "1970-01-01T00:00:00Z", "step": "900"},
        {"from": "0001-01-01T00:00:00Z"},
        {"to": "0001-01-01T00:00:01Z"},
        {"to": "2026-01-01T00:00:00"},
        {"from": "0001-01-01T00:00:00+23:59"},
    ],
)
async def test_a_time_that_cannot_be_answered_is_refused_with_its_reason(cast: Panel, wrong: dict[str, str]) -> None:
    async with cast.client("viewer") as viewer:
        answer = await viewer.get(FIGURES, params=wrong)
    assert answer.status_code in (400, 422), answer.text
    assert answer.json()["detail"]


async def test_the_documentation_names_the_figures_and_their_units(cast: Panel) -> None:
    async with cast.client("owner") as owner:
        schema = (await owner.get("/api/openapi.json")).json()
    path = schema["paths"]["/api/apps/{app_name}/environments/{environment_name}/metrics"]["get"]
    assert {parameter["name"] for parameter in path["parameters"]} >= {"from", "to", "step"}
    assert "Figures" in str(path["responses"]["200"])
    assert schema["paths"]["/api/system/security-updates"]["put"]


async def test_charts_are_drawn_on_the_pages_and_alone(cast: Panel) -> None:
    await stored(cast)
    async with cast.client("viewer") as viewer:
        part = await viewer.get("/apps/blog/production/figures")
        assert part.status_code == 200
        assert "<path" in part.text
        assert "20 %" in part.text
        assert "style=" not in part.text, "the content security policy forbids it"
        assert (await viewer.get("/apps/blog/production/figures?period=decade")).status_code in (400, 422)
        assert "/system" not in (await viewer.get("/apps/blog/production")).text
        assert (await viewer.get("/system")).status_code == 403
    async with cast.client("owner") as owner:
        page = await owner.get("/system")
        assert page.status_code == 200
        assert "Not a server" in page.text
        assert "1 core" in page.text
        refused = await owner.post("/system/security-updates", data={"on": "yes"})
        assert refused.status_code in (303, 409)
