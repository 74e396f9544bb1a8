"""Taking apps and environments away: what runs first, then the files, then the rows."""

import asyncio

import structlog

from slipway.apps import store as apps_store
from slipway.apps.models import App, Environment
from slipway.deployments import store
from slipway.deployments.runner import Runner
from slipway.deployments.tools import Tools
from slipway.errors import SlipwayError
from slipway.host.protocol import RemoveEnvironment, RemoveMirror
from slipway.logs.service import delete_logs

log = structlog.get_logger()
TRY_AGAIN_SECONDS = 5.0


class Removal:
    def __init__(self, tools: Tools, runner: Runner) -> None:
        self._tools = tools
        self._runner = runner
        self._wake = asyncio.Event()

    def wake(self) -> None:
        self._wake.set()

    async def remove_for_ever(self) -> None:
        """Remove what is marked, whenever something is; what could not be removed is tried again."""
        while True:
            done = await self._remove_marked()
            try:
                async with asyncio.timeout(None if done else TRY_AGAIN_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()

    async def _remove_marked(self) -> bool:
        """→ whether nothing is left to do."""
        try:
            async with self._tools.db.connection() as connection:
                apps, environments = await apps_store.list_deleting(connection)
            for environment in environments:
                await self._remove_environment(environment)
            for app in apps:
                await self._remove_app(app)
        except SlipwayError as error:
            log.warning("removal", error=error.message)
            return False
        return True

    async def _remove_environment(self, environment: Environment) -> None:
        async with self._tools.db.connection() as connection:
            under_way = await store.list_open_of(connection, environment.id)
            for deployment in under_way:
                await store.ask_cancel(connection, deployment.id)
        for deployment in under_way:
            self._runner.cancel(deployment.id)
            await self._runner.ended(deployment.id)
        async with self._tools.locks[environment.id]:
            await self._tools.host.call(RemoveEnvironment(environment=environment.id, place=environment.place))
            async with self._tools.db.connection() as connection:
                deployments = await store.list_ids_of(connection, environment.id)
            await delete_logs(self._tools.db, deployments)
            async with self._tools.db.transaction() as connection:
                await apps_store.delete_environment(connection, environment.id)
        self._tools.hub.publish(f"environment:{environment.id}", "apps")

    async def _remove_app(self, app: App) -> None:
        await self._tools.host.call(RemoveMirror(app=app.id))
        async with self._tools.db.transaction() as connection:
            await apps_store.delete_app(connection, app.id)
        self._tools.hub.publish(f"app:{app.id}", "apps")
