"""What apps take of the disk, and may: who sees it, who sets it."""

from tests.integration.api.conftest import Panel

SETTINGS = "/apps/blog/production/settings"


async def test_everybody_of_the_team_sees_what_an_app_takes_and_outsiders_see_nothing_of_it(cast: Panel) -> None:
    async with cast.client("viewer") as viewer, cast.client("outsider") as outsider:
        shown = (await viewer.get("/api/disk")).json()
        assert [(one["app"], one["budget"], one["own_budget"]) for one in shown["apps"]] == [("blog", 20480, False)]
        assert shown["reserve"] == 1024
        assert (await viewer.get("/api/apps/blog/disk")).json()["measured_at"] is None
        assert (await outsider.get("/api/disk")).json()["apps"] == []
        assert (await outsider.get("/api/apps/blog/disk")).status_code == 404


async def test_a_budget_is_an_owners_to_set_and_to_give_back(cast: Panel) -> None:
    async with cast.client("owner") as owner, cast.client("member") as member:
        assert (await member.put("/api/apps/blog/disk", json={"budget": 100})).status_code == 403
        assert (await owner.put("/api/apps/blog/disk", json={"budget": 15})).status_code == 422
        assert (await owner.put("/api/apps/blog/disk", json={"budget": 100})).json()["budget"] == 100
        assert "of 100.0 MiB" not in (await owner.get(SETTINGS)).text, "nothing was measured yet"
        assert 'value="100"' in (await owner.get(SETTINGS)).text
        refused = await owner.post("/apps/blog/production/disk", data={"budget": "much"})
        assert refused.status_code == 422
        assert "A budget is a whole number of MiB" in refused.text
        saved = await owner.post("/apps/blog/production/disk", data={"budget": ""})
        assert (saved.status_code, saved.headers["location"]) == (303, SETTINGS)
        assert not (await owner.get("/api/apps/blog/disk")).json()["own_budget"]
        assert "Save budget" not in (await member.get(SETTINGS)).text
