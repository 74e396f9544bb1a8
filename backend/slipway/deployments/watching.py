"""The first minute of a new release: a crash loop or a burst of errors rolls it back by itself."""

import asyncio
from datetime import timedelta

import structlog

from slipway import clock
from slipway.apps import store as apps_store
from slipway.deployments import store
from slipway.deployments.models import Deployment, Kind
from slipway.deployments.service import Deployments
from slipway.deployments.tools import Tools
from slipway.errors import Conflict, NotFound, SlipwayError
from slipway.events.models import SLIPWAY
from slipway.processes import store as crashes_store
from slipway.routing import store as routing
from slipway.routing.access_log import ErrorCounts
from slipway.routing.models import Slot

log = structlog.get_logger()
WATCHED_SECONDS = 60
CRASHES = 3
ERRORS = 20
"""Answers of 5xx since the switch, if they are also more than half of all."""


class Watching:
    def __init__(self, tools: Tools, deployments: Deployments, errors: ErrorCounts) -> None:
        self._tools = tools
        self._deployments = deployments
        self._errors = errors
        self._judged: set[tuple[int, int]] = set()

    async def watch(self) -> None:
        """For ever: judge what went live within the last minute, every second while there is any."""
        async with self._tools.hub.subscribe("apps") as changes:
            while True:
                try:
                    idle = not await self._look()
                except SlipwayError as error:
                    log.info("watching", error=error.message)
                    idle = False
                if idle:
                    await anext(changes)
                else:
                    await asyncio.sleep(1)

    async def _look(self) -> bool:
        """→ whether there is anything to look at again."""
        moment = clock.now() - timedelta(seconds=WATCHED_SECONDS)
        async with self._tools.db.connection() as connection:
            slots = await routing.list_live_since(connection, moment)
        for slot in slots:
            await self._judge(slot)
        return bool(slots)

    async def _judge(self, slot: Slot) -> None:
        if (slot.environment_id, slot.generation) in self._judged:
            return
        problem = await self._problem(slot)
        if problem is None:
            return
        async with self._tools.db.connection() as connection:
            deployment = await store.find_live(connection, slot.release_id)
        if deployment is None or deployment.kind is Kind.ROLLBACK:
            return
        await self._go_back(slot, deployment, problem)
        self._judged.add((slot.environment_id, slot.generation))

    async def _problem(self, slot: Slot) -> str | None:
        async with self._tools.db.connection() as connection:
            crashes = [
                crash
                for crash in await crashes_store.list_crashes_of(connection, slot.environment_id, slot.generation)
                if crash.at >= slot.since
            ]
        if len(crashes) >= CRASHES:
            last = crashes[-1]
            return f"{last.process} ended {len(crashes)} times within a minute of going live ({last.sentence})"
        answers, errors = self._errors.since(slot.environment_id, slot.since.timestamp())
        if errors >= ERRORS and errors * 2 > answers:
            return f"{errors} of its first {answers} answers were server errors"
        return None

    async def _go_back(self, slot: Slot, deployment: Deployment, problem: str) -> None:
        async with self._tools.db.connection() as connection:
            environment = await apps_store.get_environment_by_id(connection, slot.environment_id)
            app = await apps_store.get_app_by_id(connection, environment.app_id)
            previous = await self._previous(slot)
        if deployment.release_command == "done":
            await self._tell(deployment, problem, "It ran a release command, so that going back may not be safe: "
                             "look at it, then roll back or deploy a fix.")  # fmt: skip
            return
        if previous is None:
            await self._tell(deployment, problem, "There is no earlier release to go back to: deploy a fix.")
            return
        try:
            undo = await self._deployments.rollback(SLIPWAY, app, environment, to=previous, undoes=deployment)
        except (Conflict, NotFound) as error:
            await self._tell(deployment, problem, error.message)
            return
        await self._tell(deployment, problem, f"It is being rolled back to v{previous} by itself.", undo.id)

    async def _previous(self, slot: Slot) -> int | None:
        async with self._tools.db.connection() as connection:
            return await store.find_number_before(connection, slot.environment_id, slot.release_number)

    async def _tell(self, deployment: Deployment, problem: str, sentence: str, undo: int | None = None) -> None:
        reason = f"{problem[0].upper()}{problem[1:]}. {sentence}"
        async with self._tools.db.transaction() as connection:
            await store.judge(connection, deployment.id, reason)
            environment = await apps_store.get_environment_by_id(connection, deployment.environment_id)
            app = await apps_store.get_app_by_id(connection, environment.app_id)
            await self._tools.events.record(
                connection, "deployment.bad", SLIPWAY, team_id=app.team_id, app_id=app.id,
                environment_id=environment.id, deployment=deployment.id, reason=reason, rollback=undo,
            )  # fmt: skip
        self._tools.logs.write(deployment.id, "live", reason)
        self._tools.hub.publish(f"deployment:{deployment.id}", f"environment:{environment.id}", "apps")
