"""Wait until every instance of `web` answers, or find out why it does not."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress

from slipway import clock
from slipway.builds import store as builds
from slipway.deployments.instances import beside_web, start_instances
from slipway.deployments.tools import Attempt, Failed, Tools, say
from slipway.errors import SlipwayError
from slipway.processes.models import Crash
from slipway.processes.service import LAST_LINES, wanted
from slipway.releases import store as releases
from slipway.releases.models import Release
from slipway.routing import probe, sockets
from slipway.settings import PORTS_PER_PLACE, Mode

FIRST_PAUSE = 0.02
LONGEST_PAUSE = 0.5
TELL_SECONDS = 3
"""Who waits longer is told for what."""
CRASHES = 3
"""So many ends of a starting release are enough to give it up."""


async def check(tools: Tools, attempt: Attempt) -> None:
    assert attempt.deployment.release_id is not None
    async with tools.db.connection() as connection:
        release = await releases.find_release(connection, attempt.deployment.release_id)
        assert release is not None
        build = await builds.get_build(connection, release.build_id)
    if "web" not in release.processes:
        return
    assert build.plan is not None
    path = release.settings.health_path or build.plan.health_path
    async with _meanwhile(_make_others_ready(tools, attempt, release)):
        await _until_it_answers(tools, attempt, release, path)


@asynccontextmanager
async def _meanwhile(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Do something else beside the body; over with it. What fails in the body is what is told."""
    task = asyncio.create_task(work)
    try:
        yield
    except BaseException:
        task.cancel()
        with suppress(asyncio.CancelledError, SlipwayError):
            await task
        raise
    await task


async def _make_others_ready(tools: Tools, attempt: Attempt, release: Release) -> None:
    """So that the switch does not wait until systemd has read their units, for which it goes through all it has."""
    slots = await tools.routing.list_slots(attempt.environment)
    slot = next(slot for slot in slots if slot.number == attempt.deployment.slot)
    for name in beside_web(release):
        await start_instances(tools, attempt.environment, attempt.generation, release, slot, name, only_ready=True)


async def _until_it_answers(tools: Tools, attempt: Attempt, release: Release, path: str) -> None:
    asked_for = release.settings.health_path is not None
    began, pause, told = clock.now(), FIRST_PAUSE, ""
    while True:
        problem = await _problem(tools, attempt, path, asked_for)
        waited = (clock.now() - began).total_seconds()
        if problem is None:
            say(tools, attempt, f"web answers on {path}.")
            return
        if pause > FIRST_PAUSE * 4:
            await _fail_if_it_crashes(tools, attempt)
        if waited > release.settings.health_seconds:
            raise Failed(await _reason(tools, attempt, release, problem))
        if waited > TELL_SECONDS and problem != told:
            told = problem
            say(tools, attempt, f"Not yet: {problem}.{_elsewhere_hint(tools, attempt)}")
        await asyncio.sleep(pause)
        pause = min(pause * 1.4, LONGEST_PAUSE)


async def _problem(tools: Tools, attempt: Attempt, path: str, asked_for: bool) -> str | None:
    """Why it does not pass yet; None where every instance does."""
    environment, slot = attempt.environment, attempt.deployment.slot
    assert slot is not None
    for rank in range(wanted(environment, "web")):
        port = tools.settings.port(environment.place, slot, rank)
        problem = _listening_problem(tools, attempt, port) or await _answer_problem(
            tools, attempt, port, path, asked_for
        )
        if problem:
            return problem
    return None


def _listening_problem(tools: Tools, attempt: Attempt, port: int) -> str | None:
    found = sockets.listeners(port)
    if tools.settings.mode is not Mode.SESSION:
        strangers = [one for one in found if one.uid != attempt.run_uid]
        if strangers:
            raise Failed(
                f"Port {port} is held by another program of this server (user id {strangers[0].uid}), not by this app. "
                "Stop that program, then deploy again."
            )
    if not found:
        return f"nothing listens on port {port}, the one given in PORT"
    if not any(one.is_reached_on_loopback for one in found):
        return f"it listens on {found[0].address}:{port}, which is not reached from 127.0.0.1"
    return None


async def _answer_problem(tools: Tools, attempt: Attempt, port: int, path: str, asked_for: bool) -> str | None:
    host = tools.routing.url(attempt.app, attempt.environment).partition("://")[2]
    proto = "https" if tools.settings.http.tls else "http"
    try:
        answer = await probe.ask(port, path, host, forwarded_proto=proto)
    except probe.NoAnswer as error:
        return f"a request for {path} failed: {error}"
    if answer.status == 400 and not asked_for:
        return (
            f"a request for {path} was answered with status 400: is {host} among the hosts that the app allows? "
            "It can read its address from SLIPWAY_URL"
        )
    # A path that somebody chose must succeed; without one, an app that answers at all is up (/ may be 404 or 401).
    if answer.status >= (400 if asked_for else 500):
        return f"a request for {path} was answered with status {answer.status}"
    return None


async def _fail_if_it_crashes(tools: Tools, attempt: Attempt) -> None:
    crashes = [
        crash for crash in await tools.processes.crashes_of(attempt.environment.id, attempt.generation)
        if crash.process == "web"
    ]  # fmt: skip
    if len(crashes) >= CRASHES:
        _show(tools, attempt, crashes[-1])
        raise Failed(f"web ended {len(crashes)} times while it was starting: {crashes[-1].sentence}.")


async def _reason(tools: Tools, attempt: Attempt, release: Release, problem: str) -> str:
    crashes = await tools.processes.crashes_of(attempt.environment.id, attempt.generation)
    if crashes:
        _show(tools, attempt, crashes[-1])
        return f"web ended while it was starting: {crashes[-1].sentence}."
    await _show_output(tools, attempt, release)
    hint = _elsewhere_hint(tools, attempt)
    return f"web did not become healthy within {release.settings.health_seconds} s: {problem}.{hint}"


def _elsewhere_hint(tools: Tools, attempt: Attempt) -> str:
    """Where it listens instead, in a sentence; empty where it does not, or nobody can tell."""
    if tools.settings.mode is Mode.SESSION:
        return ""
    first = tools.settings.port(attempt.environment.place, 1, 0)
    for port in sockets.ports_of(attempt.run_uid):
        if not first <= port < first + PORTS_PER_PLACE:
            return f" It listens on port {port} instead: it must listen on the port in PORT."
    return ""


async def _show_output(tools: Tools, attempt: Attempt, release: Release) -> None:
    lines = [
        line.text
        for line in await tools.logs.runtime_lines(attempt.environment, LAST_LINES)
        if line.release == release.number and line.process == "web"
    ]
    if lines:
        say(tools, attempt, "What web wrote last:")
        for text in lines:
            say(tools, attempt, f"  {text}")


def _show(tools: Tools, attempt: Attempt, crash: Crash) -> None:
    say(tools, attempt, f"{crash.process} {crash.sentence}. Its last lines:")
    for line in crash.lines:
        say(tools, attempt, f"  {line}")
