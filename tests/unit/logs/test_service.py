"""The log of a deployment: what is kept of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

import pytest
from tests.unit.system.test_housekeeping import a_deployment, an_environment

from slipway.db import Connection, Database
from slipway.errors import Unavailable
from slipway.events.hub import Hub
from slipway.host.protocol import WorkKind
from slipway.logs import service
from slipway.logs.journal import Entry, UnitNames
from slipway.logs.models import RuntimeLine
from slipway.plan import END_OF_LOG
from slipway.settings import Http, Installation, Mode, Settings

SETTINGS = Settings(Installation("k3f9", Mode.SERVER), Http(443))


def said(deployment: int, text: str) -> Entry:
    return Entry("s=1;i=1", datetime.now(UTC), text, None, (WorkKind.RELEASE_COMMAND, deployment))


async def test_a_release_command_that_floods_its_log_does_not_fill_the_database(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "MOST_WORK_CHARACTERS", 1000)
    logs = service.Logs(database, Hub(), UnitNames("k3f9"), SETTINGS)
    async with database.connection() as connection:
        deployment = await a_deployment(connection, await an_environment(connection, "one", 1), "releasing")
    for _ in range(50):
        logs._take([said(deployment, "y" * 99)])
    logs.write(deployment, "releasing", "Failed: it ended.")
    await logs._store_batch()
    texts = [line.text for line in await logs.deployment_lines(deployment, after=1)]
    assert texts == ["y" * 99] * 10 + [service.CUT, "Failed: it ended."]


async def test_nothing_of_a_deployment_stays_in_memory_when_its_log_has_ended(database: Database) -> None:
    logs = service.Logs(database, Hub(), UnitNames("k3f9"), SETTINGS)
    async with database.connection() as connection:
        deployment = await a_deployment(connection, await an_environment(connection, "one", 1), "releasing")
    logs.begin_deployment(deployment)
    logs._take([said(deployment, "x"), said(deployment, END_OF_LOG)])
    logs._ended.add(deployment)
    await logs._store_batch()
    assert [len(kept) for kept in (logs._recent, logs._numbers, logs._kept, logs._over, logs._held)] == [0, 0, 0, 0, 0]


def runtime(text: str) -> RuntimeLine:
    return RuntimeLine("s=1;i=1", datetime.now(UTC), 1, "web", 0, text)


async def test_lines_wait_together_for_who_reads_them_up_to_a_number_of_bytes() -> None:
    waiting = service.Waiting()
    few = [runtime("a"), runtime("b")]
    waiting.put(few[:1])
    waiting.put(few[1:])
    assert await waiting.get() == few
    line = runtime("\N{SNOWMAN}" * 8192)
    for _ in range(1000):
        waiting.put([line] * 10)
    assert waiting._bytes <= service.MOST_WAITING_BYTES + 10 * 3 * 8192 + 10 * service.LINE_BYTES
    assert not waiting._batches, "a reader that is too slow takes no memory"
    assert await waiting.get() is None, "and is told to read them where they are"
    waiting.put(few)
    assert await waiting.get() == few


async def test_lines_whose_storing_was_not_heard_of_are_neither_lost_nor_stored_twice(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    logs = service.Logs(database, Hub(), UnitNames("k3f9"), SETTINGS)
    async with database.connection() as connection:
        deployment = await a_deployment(connection, await an_environment(connection, "one", 1), "releasing")
    transaction, fails = database.transaction, []

    @asynccontextmanager
    async def unheard() -> AsyncIterator[Connection]:
        async with transaction() as connection:
            if "before" in fails:
                raise Unavailable("before it took effect")
            yield connection
        if "after" in fails:
            raise Unavailable("after it took effect")

    monkeypatch.setattr(database, "transaction", unheard)
    for when in ("after", "before", "after", "before", ""):
        fails[:] = [when]
        logs.write(deployment, "releasing", f"written when it failed {when}")
        logs._ended.add(deployment)
        with suppress(Unavailable):
            await logs._store_batch()
    texts = [line.text for line in await logs.deployment_lines(deployment, after=1)]
    assert texts == [f"written when it failed {when}" for when in ("after", "before", "after", "before", "")]


async def one_that_fetches(database: Database) -> tuple[service.Logs, int]:
    """Logs, and a deployment of which they know nothing yet."""
    logs = service.Logs(database, Hub(), UnitNames("k3f9"), SETTINGS)
    async with database.connection() as connection:
        deployment = await a_deployment(connection, await an_environment(connection, "one", 1), "fetching")
    return logs, deployment


async def test_what_slipway_says_after_a_piece_of_work_stands_after_its_output_however_late_that_comes(
    database: Database,
) -> None:
    logs, deployment = await one_that_fetches(database)
    logs.begin_deployment(deployment)
    told = [
        (WorkKind.FETCH, "Fetching the repository"), (WorkKind.FETCH, END_OF_LOG),
        (WorkKind.BUILD, "Detected: Procfile"), (WorkKind.BUILD, END_OF_LOG),
    ]  # fmt: skip
    logs.hold_back(WorkKind.FETCH, deployment, 60)
    logs.write(deployment, "fetching", "Commit 4f1c9e2d33 of main: one")
    logs.hold_back(WorkKind.BUILD, deployment, 60)
    logs.write(deployment, "building", "Built.")
    logs._take([Entry("s=1;i=1", datetime.now(UTC), text, None, (kind, deployment)) for kind, text in told])
    logs.hold_back(WorkKind.BUILD, deployment, 60)  # it has told all
    logs.write(deployment, "releasing", "Release v1")
    await logs._store_batch()
    texts = [line.text for line in await logs.deployment_lines(deployment, after=1)]
    said = ["Fetching the repository", "Commit 4f1c9e2d33 of main: one", "Detected: Procfile", "Built.", "Release v1"]
    assert texts == said


async def test_what_slipway_says_waits_for_a_last_line_that_never_comes_only_so_long(
    database: Database,
) -> None:
    logs, deployment = await one_that_fetches(database)
    logs.hold_back(WorkKind.FETCH, deployment, 0.01)
    logs.write(deployment, "fetching", "Commit 4f1c9e2d33 of main: one")
    async with asyncio.timeout(10):
        await logs._held[deployment][-1].over.wait()
    await logs._store_batch()
    assert [line.text for line in await logs.deployment_lines(deployment, after=1)] == [
        "Commit 4f1c9e2d33 of main: one"
    ]
