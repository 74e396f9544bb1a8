"""Runs deployments: begins what is queued, one at a time for an environment, and settles what a crash left.

The deployments' table is the queue: there is no second row that could disagree with it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from slipway.apps import store as apps_store
from slipway.builds import store as builds
from slipway.deployments import settling, store
from slipway.deployments.models import CANCELLED, Deployment, Kind, State
from slipway.deployments.phases import PHASES_OF, STEPS
from slipway.deployments.settler import Settler
from slipway.deployments.tools import Attempt, Failed, Stopped, Tools, say
from slipway.errors import NotFound, SlipwayError, Unavailable
from slipway.events.models import SLIPWAY
from slipway.host.client import HostAway
from slipway.host.protocol import PrepareEnvironment
from slipway.routing import store as routing
from slipway.routing.models import Slot, SlotRole

log = structlog.get_logger()
LOCKED = (State.STARTING, State.CHECKING, State.SWITCHING)
"""Phases that touch the environment's instances and route."""
WAITING = (
    "Waiting for the host agent, which does not answer: nothing can be built, started or switched without it. What is "
    "live goes on, and this deployment does when the agent is back. `slipway doctor` says what to do."
)
CONTAINED = "Something in Slipway itself went wrong; its own log says what. What was live before still is."


class Runner:
    def __init__(self, tools: Tools, settler: Settler) -> None:
        self._tools = tools
        self._settler = settler
        self._wake = asyncio.Event()
        self._running: dict[int, asyncio.Task[None]] = {}
        self._attempts: dict[int, Attempt] = {}
        self._ending: set[int] = set()
        """How they end is decided: a cancellation comes too late, and must not leave that half done."""
        self._perhaps_begun: set[int] = set()
        """The database went away before it said whether they are."""
        self._told_of_waiting: set[int] = set()
        self._stopping = False

    def wake(self) -> None:
        """Something may be ready to begin."""
        self._wake.set()

    def cancel(self, deployment_id: int) -> None:
        """Stop an active deployment, unless its switch has been made or its end is decided."""
        attempt, task = self._attempts.get(deployment_id), self._running.get(deployment_id)
        if task and not (attempt and attempt.certain) and deployment_id not in self._ending:
            task.cancel()

    async def ended(self, deployment_id: int) -> None:
        """Wait until a deployment no longer runs here."""
        task = self._running.get(deployment_id)
        if task:
            await asyncio.wait([task])

    async def run(self) -> None:
        """Take up what was under way, then begin what is asked for, for ever."""
        await self._until_it_works(self._take_up)
        while True:
            await self._until_it_works(self._begin_queued)
            await self._wake.wait()
            self._wake.clear()

    async def stop(self) -> None:
        """Let go of everything, as it is: the next start takes it up."""
        self._stopping = True
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)

    async def _until_it_works(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
                return
            except Unavailable as error:
                log.warning("runner.waiting", error=error.message)
                await asyncio.sleep(1)

    async def _take_up(self) -> None:
        """After a start: go on with active deployments, end work that nobody knows. The rest is the reconciler's."""
        async with self._tools.db.connection() as connection:
            open_deployments = await store.list_open(connection)
        for deployment in open_deployments:
            self._tools.logs.begin_deployment(deployment.id)
            if deployment.state is not State.QUEUED:
                self._launch(deployment)
        try:
            await settling.stop_strange_work(self._tools)
        except HostAway:
            for deployment in open_deployments:
                self._tell_of_waiting(deployment)
            raise

    async def _begin_queued(self) -> None:
        async with self._tools.db.connection() as connection:
            open_deployments = await store.list_open(connection)
        for deployment in open_deployments:
            if deployment.id in self._perhaps_begun and deployment.state is not State.QUEUED:
                self._launch(deployment)
        self._perhaps_begun.clear()
        busy = {one.environment_id for one in open_deployments if one.state is not State.QUEUED}
        for deployment in sorted(open_deployments, key=lambda one: (one.kind is not Kind.ROLLBACK, one.id)):
            if deployment.state is State.QUEUED and deployment.environment_id not in busy:
                busy.add(deployment.environment_id)
                await self._begin(deployment)

    async def _begin(self, deployment: Deployment) -> None:
        try:
            async with self._tools.db.transaction() as connection:
                generation = await apps_store.next_generation(connection, deployment.environment_id)
                first = PHASES_OF[deployment.kind][0]
                begun = await store.begin(connection, deployment.id, first, generation)
        except NotFound:
            return  # its environment was deleted meanwhile
        except Unavailable:
            self._perhaps_begun.add(deployment.id)
            raise
        if begun:
            self._launch(begun)

    def _launch(self, deployment: Deployment) -> None:
        if deployment.id in self._running:
            return
        self._tools.logs.begin_deployment(deployment.id)  # where the answer to its request was lost, nobody did
        task = asyncio.create_task(self._run(deployment), name=f"deployment {deployment.id}")
        self._running[deployment.id] = task
        task.add_done_callback(lambda _: self._forget(deployment.id))

    def _forget(self, deployment_id: int) -> None:
        self._running.pop(deployment_id, None)
        self._attempts.pop(deployment_id, None)
        self._ending.discard(deployment_id)
        self._told_of_waiting.discard(deployment_id)
        self._wake.set()

    # ---- one deployment ------------------------------------------------------------------------------------------

    async def _run(self, deployment: Deployment) -> None:
        """From the phase it stands in to its end, and to an environment that is as the end says."""
        try:
            await self._carry_through(deployment.id)
            self._ending.add(deployment.id)
        except asyncio.CancelledError:
            self._ending.add(deployment.id)
            if self._stopping or not await self._is_cancelled(deployment.id):
                raise  # what was asked for meanwhile, the next start sees
            await self._undo(deployment.id, State.CANCELLED, CANCELLED)
        except Stopped as error:
            await self._undo(deployment.id, State.CANCELLED, str(error))
        except NotFound:
            return  # its environment was deleted meanwhile
        except Failed as error:
            await self._undo(deployment.id, State.FAILED, str(error))
        except SlipwayError as error:
            await self._undo(deployment.id, State.FAILED, error.message)
        except Exception:
            log.exception("deployment.error", deployment=deployment.id)
            await self._undo(deployment.id, State.FAILED, CONTAINED)
        # Where the end was recorded, and the database went away before it could say so, nobody was told yet.
        await self._tools.logs.complete(deployment.id)
        self._publish(deployment)
        # Off the way to live: what a crash leaves of it here, the next start ends.
        await self._until_it_works(lambda: settling.stop_work(self._tools, deployment))
        with suppress(SlipwayError):  # told, and tried again by itself
            await self._settler.settle(deployment.environment_id)

    async def _carry_through(self, deployment_id: int) -> None:
        """What dies in the middle, because the host agent or the database is away, is begun again at its phase."""
        while True:
            try:
                attempt = await self._attempt(deployment_id)
                if attempt is not None:
                    await self._phases(attempt)
                    await self._end(attempt, State.LIVE, None)
                return
            except Unavailable as error:
                log.warning("deployment.waiting", deployment=deployment_id, error=error.message)
                attempt = self._attempts.get(deployment_id)
                if attempt is not None and isinstance(error, HostAway):
                    self._tell_of_waiting(attempt.deployment)
                await asyncio.sleep(1)

    def _tell_of_waiting(self, deployment: Deployment) -> None:
        """In its log, which is what those who wait for it see; once, however often it is tried again."""
        if deployment.id not in self._told_of_waiting:
            self._told_of_waiting.add(deployment.id)
            self._tools.logs.write(deployment.id, deployment.state.value, WAITING)

    async def _attempt(self, deployment_id: int) -> Attempt | None:
        """The deployment with all that its phases need; None where it has ended."""
        async with self._tools.db.connection() as connection:
            deployment = await store.get(connection, deployment_id)
            environment = await apps_store.get_environment_by_id(connection, deployment.environment_id)
            app = await apps_store.get_app_by_id(connection, environment.app_id)
            slots = await routing.list_slots(connection, environment.id)
        if deployment.state.ended:
            return None
        attempt = Attempt(deployment, app, environment, certain=_is_live(deployment, slots))
        self._attempts[deployment_id] = attempt
        if deployment.cancel_asked_at and not attempt.certain:
            raise Stopped(CANCELLED)
        users = await self._tools.host.call(PrepareEnvironment(environment=environment.id, place=environment.place))
        attempt.run_uid = users.run_uid
        return attempt

    async def _phases(self, attempt: Attempt) -> None:
        phases = PHASES_OF[attempt.deployment.kind]
        at = phases.index(attempt.deployment.state)
        for phase in phases[at:]:
            if phase not in LOCKED:
                await self._phase(attempt, phase)
        async with self._tools.locks[attempt.environment.id]:
            for phase in phases[at:]:
                if phase in LOCKED:
                    await self._phase(attempt, phase)

    async def _phase(self, attempt: Attempt, phase: State) -> None:
        if attempt.deployment.state is not phase:
            async with self._tools.db.transaction() as connection:
                moved = await store.move(connection, attempt.deployment, phase)
            if moved is None:
                raise Failed("Something else moved this deployment meanwhile.")
            attempt.deployment = moved
            self._publish(moved)
        await STEPS[phase](self._tools, attempt)

    async def _end(self, attempt: Attempt, state: State, reason: str | None) -> None:
        deployment = attempt.deployment
        async with self._tools.db.transaction() as connection:
            moved = await store.move(connection, deployment, state, reason)
            if moved is None:
                return
            await self._tools.events.record(
                connection, f"deployment.{state.value}", SLIPWAY, team_id=attempt.app.team_id, app_id=attempt.app.id,
                environment_id=attempt.environment.id, deployment=deployment.id, reason=reason,
            )  # fmt: skip
        attempt.deployment = moved
        if state is State.LIVE:
            release = f"v{moved.release_number}"
            self._tools.logs.write(moved.id, state.value, f"{release} is live at {self._url(attempt)}")
        self._publish(moved)
        await self._tools.logs.finish_deployment(moved.id)
        self._publish(moved)

    async def _undo(self, deployment_id: int, state: State, reason: str) -> None:
        """End a deployment that did not get live, and leave no work of it behind."""
        self._ending.add(deployment_id)
        await self._until_it_works(lambda: self._try_undo(deployment_id, state, reason))

    async def _try_undo(self, deployment_id: int, state: State, reason: str) -> None:
        try:
            async with self._tools.db.connection() as connection:
                deployment = await store.get(connection, deployment_id)
                environment = await apps_store.get_environment_by_id(connection, deployment.environment_id)
                app = await apps_store.get_app_by_id(connection, environment.app_id)
                slots = await routing.list_slots(connection, environment.id)
        except NotFound:
            return
        if deployment.state.ended:
            return
        attempt = Attempt(deployment, app, environment)
        await settling.stop_work(self._tools, deployment)
        if _is_live(deployment, slots):
            # Its traffic flows: what went wrong afterwards does not make it less live. Settling does the rest.
            say(self._tools, attempt, f"After the switch something failed: {reason}")
            await self._end(attempt, State.LIVE, reason)
            return
        if deployment.build_id is not None and deployment.release_id is None:
            async with self._tools.db.connection() as connection:
                await builds.mark_failed(connection, deployment.build_id)
        say(self._tools, attempt, reason if state is State.CANCELLED else f"Failed: {reason}")
        await self._end(attempt, state, reason)

    async def _is_cancelled(self, deployment_id: int) -> bool:
        while True:
            try:
                async with self._tools.db.connection() as connection:
                    return (await store.get(connection, deployment_id)).cancel_asked_at is not None
            except NotFound:
                return False
            except Unavailable:
                await asyncio.sleep(1)

    def _url(self, attempt: Attempt) -> str:
        return self._tools.routing.url(attempt.app, attempt.environment)

    def _publish(self, deployment: Deployment) -> None:
        self._tools.hub.publish(f"deployment:{deployment.id}", f"environment:{deployment.environment_id}", "apps")


def _is_live(deployment: Deployment, slots: list[Slot]) -> bool:
    """Whether its switch was made and stands, whatever its row says yet."""
    if deployment.state is not State.SWITCHING:
        return False
    return any(slot.number == deployment.slot and slot.role is SlotRole.LIVE for slot in slots)
