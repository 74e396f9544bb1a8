"""That something changed, told to each of those who may see it."""

from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence

from slipway.apps import store as apps
from slipway.db import Database
from slipway.deployments import store as deployments
from slipway.events.hub import Hub
from slipway.web.callers import Caller
from slipway.web.streams import IDLE, encode_event, within_idle

FIGURES = "figures"
"""That there are new ones, every few seconds: told to those only who ask for it."""
ALL = ("apps", "app:*", "environment:*", "deployment:*")
MOST_REMEMBERED = 10_000
"""Topics, for a stream that is open for long."""


async def changes_for(caller: Caller, db: Database, hub: Hub, *, figures: bool = False) -> AsyncIterator[bytes]:
    """Encoded events. Everything is subscribed to before anything is read: what is made meanwhile is not missed."""
    async with hub.subscribe(*ALL, *([FIGURES] if figures else [])) as changes:
        sight = None if caller.team_ids is None else Sight(db, caller.team_ids)
        if sight is not None:
            await sight.begin()
        yield encode_event("changed", ["apps"])
        while True:
            changed = await within_idle(anext(changes))
            if changed is None:
                yield IDLE
                continue
            seen = sorted(changed if sight is None else await sight.seen_of(changed))
            if seen:
                yield encode_event("changed", seen)


class Sight:
    """Which topics members of some teams may see. The database is asked only about what was not met before."""

    def __init__(self, db: Database, team_ids: Sequence[int]) -> None:
        self._db = db
        self._team_ids = team_ids
        self._known: dict[str, bool] = {FIGURES: True}

    async def begin(self) -> None:
        """Learn what there is: what is deleted later is told to those who saw it."""
        async with self._db.connection() as connection:
            found = await apps.list_ids(connection, self._team_ids)
        self._known = {"apps": True, FIGURES: True} | dict.fromkeys(_topics_of(found), True)

    async def seen_of(self, topics: Collection[str]) -> list[str]:
        if len(self._known) > MOST_REMEMBERED:
            await self.begin()
        unknown = [topic for topic in topics if topic not in self._known]
        if unknown:
            await self._find_out(unknown)
        return [topic for topic in topics if self._known[topic]]

    async def _find_out(self, unknown: list[str]) -> None:
        numbers = [int(topic.partition(":")[2]) for topic in unknown if topic.startswith("deployment:")]
        seen: set[str] = set()
        async with self._db.connection() as connection:
            if numbers:
                found = await deployments.list_of_teams(connection, numbers, self._team_ids)
                seen |= {f"deployment:{number}" for number in found}
            if len(numbers) < len(unknown):
                seen |= set(_topics_of(await apps.list_ids(connection, self._team_ids)))
        self._known |= {topic: topic in seen for topic in unknown}


def _topics_of(found: Iterable[tuple[int, int | None]]) -> Iterator[str]:
    for app, environment in found:
        yield f"app:{app}"
        if environment is not None:
            yield f"environment:{environment}"
