"""Taking an environment out of the tables, once the box has nothing of it."""

import pytest
from tests.integration.api.conftest import Panel
from tests.unit.system.test_housekeeping import a_deployment, ids, refuse, write_lines

from slipway.logs import service as logs


async def test_an_environment_with_long_logs_is_removed_in_parts(cast: Panel, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_there(_: object) -> None:
        """The host agent's answer where it has nothing of the environment."""

    monkeypatch.setattr(cast.slipway.host, "call", nothing_there)
    monkeypatch.setattr(logs, "LINES_AT_ONCE", 3)
    async with cast.client("owner") as owner:
        made = await owner.post("/api/apps/blog/environments", json={"name": "staging", "branch": "next"})
        assert made.status_code == 201, made.text
    apps = cast.slipway.apps
    staging = await apps.get_environment(await apps.get_app("blog"), "staging")
    production = await apps.get_environment(await apps.get_app("blog"))
    async with cast.slipway.db.connection() as connection:
        for _ in range(2):
            await write_lines(connection, await a_deployment(connection, staging.id, "live"), 10)
        kept = await a_deployment(connection, production.id, "live")
        await refuse(connection, "deployment_log", more_than=3)
    async with cast.client("owner") as owner:
        assert (await owner.delete("/api/apps/blog/environments/staging")).status_code == 202
    assert await cast.slipway.removal._remove_marked()
    async with cast.slipway.db.connection() as connection:
        assert await ids(connection, "environments") == {production.id}
        assert await ids(connection, "deployment_log", "deployment_id") == {kept}
