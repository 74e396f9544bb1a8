"""The agent's socket: who may ask, one verb a connection, one log line a verb."""

import asyncio
import collections
import contextlib
import errno
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import msgspec
import structlog
from pystemd.dbusexc import DBusBaseError

from slipway import __version__
from slipway.errors import HostRefused, Invalid, SlipwayError
from slipway.host.agent import (
    certificates,
    disks,
    drift,
    environments,
    exits,
    files,
    inspection,
    instances,
    mending,
    releases,
    removal,
    routes,
    sites,
    slots,
    updates,
    usage,
    work,
)
from slipway.host.agent.box import DAEMON_USER, Box
from slipway.host.agent.changes import Changes
from slipway.host.frames import frame, read_body, read_length
from slipway.host.protocol import (
    AgentStatus,
    Answer,
    Changed,
    Compare,
    DeleteBuild,
    DeleteCache,
    DeleteRelease,
    Exits,
    FindWork,
    Inspect,
    InstallCertificate,
    Key,
    MeasureDisk,
    Mend,
    ObtainCertificate,
    PrepareEnvironment,
    PutRelease,
    PutSite,
    PutSlot,
    ReadKey,
    ReadUsage,
    Refused,
    RemoveCertificate,
    RemoveEnvironment,
    RemoveMirror,
    RemoveSite,
    Request,
    SetSecurityUpdates,
    StartBuild,
    StartFetch,
    StartInstances,
    StartReleaseCommand,
    Status,
    StopInstances,
    StopWork,
    Switch,
    Verb,
    Watch,
    WorkKind,
)

log = structlog.get_logger()
BUS_GONE = frozenset({errno.ECONNRESET, errno.ENOTCONN, errno.EPIPE, errno.ESHUTDOWN, errno.EBADF})
"""What sd-bus says of a connection whose other end has gone (sd_bus_call(3))."""

HEARTBEAT_SECONDS = 15.0
REQUEST_SECONDS = 10.0
"""Who connects and says nothing, or takes nothing of the answer, is cut off after it."""
MAX_CONNECTIONS = 2048
"""Of one user at a time: a daemon that starts asks about each of 1,000 environments at once. What comes beyond is
closed. Root's count apart from the daemon's: whatever has become of it, the operator gets an answer."""
MAX_WATCHERS = 16
LARGE_FRAME = 65536
LARGE_AT_ONCE = 8
"""Of one user: what is larger than LARGE_FRAME waits its turn, so that no number of requests fills the memory."""
MAX_REASON = 500
Handler = Callable[[Box, Any], Awaitable[Answer]]


async def _status(box: Box, verb: Status) -> AgentStatus:
    return AgentStatus(version=__version__, installation=box.settings.id)


async def _read_key(box: Box, verb: ReadKey) -> Key:
    return Key(box.paths.key.read_bytes())


HANDLERS: dict[type[Verb], Handler] = {
    Status: _status,
    ReadKey: _read_key,
    PrepareEnvironment: environments.prepare,
    RemoveEnvironment: removal.remove_environment,
    RemoveMirror: removal.remove_mirror,
    StartFetch: work.start_fetch,
    StartBuild: work.start_build,
    PutRelease: releases.put,
    StartReleaseCommand: work.start_release_command,
    FindWork: work.find,
    StopWork: work.stop,
    StartInstances: instances.start,
    StopInstances: instances.stop,
    Switch: routes.switch,
    PutSlot: slots.put,
    PutSite: sites.put,
    RemoveSite: sites.remove_verb,
    DeleteBuild: removal.delete_build,
    DeleteRelease: releases.delete,
    MeasureDisk: disks.measure,
    DeleteCache: removal.delete_cache,
    Inspect: inspection.inspect,
    Exits: exits.list_and_acknowledge,
    ObtainCertificate: work.start_certificate,
    InstallCertificate: certificates.install,
    RemoveCertificate: certificates.remove_verb,
    ReadUsage: usage.read,
    SetSecurityUpdates: updates.set_security_updates,
    Compare: drift.compare,
    Mend: mending.mend,
}
UNSAID = frozenset({ReadUsage})
"""Asked every few seconds, and changes nothing: the log says only where it failed."""


def lock_name(verb: Verb) -> str | None:
    """What must not be done twice at once. None: looking, which never waits."""
    match verb:
        case StartFetch():
            return f"work {WorkKind.FETCH} {verb.id}"
        case StartBuild():
            return f"work {WorkKind.BUILD} {verb.id}"
        case StartReleaseCommand():
            return f"work {WorkKind.RELEASE_COMMAND} {verb.id}"
        case StopWork():
            return f"work {verb.kind} {verb.id}"
        case PrepareEnvironment():
            return environments.PREPARATION
        case RemoveMirror():
            return f"mirror {verb.app}"
        case ObtainCertificate():
            return f"work {WorkKind.CERTIFICATE} {verb.id}"
        case InstallCertificate() | RemoveCertificate():
            return f"certificate {verb.hostname}"
        case MeasureDisk():
            return "measuring"  # one walk over the disk at a time
        case FindWork() | Inspect() | Exits() | Status() | ReadKey() | ReadUsage() | Compare():
            return None
        case SetSecurityUpdates():
            return "security updates"
        case Mend():
            return "mending"
    return f"environment {verb.environment}"  # type: ignore[attr-defined]


class Server:
    def __init__(self, box: Box, changes: Changes, allowed_uids: Callable[[], set[int]]) -> None:
        self._box = box
        self._changes = changes
        self._allowed_uids = allowed_uids
        self._decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Request)
        self._open: collections.Counter[int] = collections.Counter()
        self._watching: collections.Counter[int] = collections.Counter()
        self._large: collections.defaultdict[int, asyncio.Semaphore] = collections.defaultdict(
            lambda: asyncio.Semaphore(LARGE_AT_ONCE)
        )

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection: a request, its answer, the end."""
        uid = peer_uid(writer)
        if self._open[uid] >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        self._open[uid] += 1
        try:
            await self._serve(reader, writer, uid)
        except (OSError, asyncio.IncompleteReadError, TimeoutError, Invalid):
            # Without waiting for anybody to take what was not sent yet.
            writer.transport.abort()
        finally:
            self._open[uid] -= 1
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uid: int) -> None:
        async with asyncio.timeout(REQUEST_SECONDS):
            length = await read_length(reader)
        async with self._room_for(length, uid):
            # Read first: closing with something unread would take the refusal away from its reader.
            async with asyncio.timeout(REQUEST_SECONDS):
                body = await read_body(reader, length)
            if uid not in self._allowed_uids():
                log.warning("refused a caller", uid=uid)
                await _send(writer, Refused("invalid", f"the user with id {uid} may not ask the host agent"))
                return
            try:
                verb = self._decoder.decode(body)
            except (Invalid, *files.UNREADABLE) as error:
                reason = str(error)[:MAX_REASON]  # it may hold what was sent, however long
                log.warning("refused a request", reason=reason)
                await _send(writer, Refused("invalid", f"the request does not fit the protocol: {reason}"))
                return
            del body
            if not isinstance(verb, Watch):
                await _send(writer, await self.answer(verb))
                return
        await self._watch(reader, writer, uid)

    @contextlib.asynccontextmanager
    async def _room_for(self, length: int, uid: int) -> AsyncIterator[None]:
        if length <= LARGE_FRAME:
            yield
            return
        async with asyncio.timeout(REQUEST_SECONDS):
            await self._large[uid].acquire()
        try:
            yield
        finally:
            self._large[uid].release()

    async def answer(self, verb: Verb) -> Answer:
        """Carry a verb out; → its answer, or Refused with the reason."""
        began = time.monotonic()
        answer = await self._carry_out(verb)
        if type(verb) in UNSAID and not isinstance(answer, Refused):
            return answer
        log.info(
            str(verb.__struct_config__.tag),
            **about(verb),
            took=round(time.monotonic() - began, 4),
            result=f"{answer.code}: {answer.message}" if isinstance(answer, Refused) else "done",
        )
        return answer

    async def _carry_out(self, verb: Verb) -> Answer:
        name = lock_name(verb)
        try:
            if name is None:
                return await HANDLERS[type(verb)](self._box, verb)
            async with self._box.lock(name):
                return await HANDLERS[type(verb)](self._box, verb)
        except HostRefused as error:
            return Refused(error.reason, error.message)
        except SlipwayError as error:
            return Refused("invalid" if isinstance(error, Invalid) else "failed", error.message)
        except DBusBaseError as error:
            if -error.errno in BUS_GONE:  # and with it all we know: this agent ends, a fresh one begins anew
                signal.raise_signal(signal.SIGTERM)
                return Refused("unavailable", "The machine's message bus was started anew; the host agent follows it.")
            log.exception("failed", verb=verb.__struct_config__.tag)
            return Refused("failed", f"the machine refused: {error}")
        except OSError as error:
            log.exception("failed", verb=verb.__struct_config__.tag)
            return Refused("failed", f"the machine refused: {error}")
        except Exception as error:
            log.exception("failed", verb=verb.__struct_config__.tag)
            return Refused("failed", f"a fault in the host agent ({type(error).__name__}); its log says more")

    async def _watch(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, uid: int) -> None:
        if self._watching[uid] >= MAX_WATCHERS:
            await _send(writer, Refused("unavailable", f"{MAX_WATCHERS} watch already, and no more can"))
            return
        self._watching[uid] += 1
        queue = self._changes.subscribe()
        gone = asyncio.ensure_future(reader.read(1))
        try:
            await _send(writer, Changed())
            while not gone.done():
                getting = asyncio.ensure_future(queue.get())
                await asyncio.wait({getting, gone}, timeout=HEARTBEAT_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if not getting.done():
                    getting.cancel()
                    await _send(writer, Changed())
                    continue
                change = getting.result()
                if change is None:
                    return
                await _send(writer, change)
        finally:
            gone.cancel()
            self._watching[uid] -= 1
            self._changes.unsubscribe(queue)


def peer_uid(writer: asyncio.StreamWriter) -> int:
    """The user on the other side, as the kernel knows him: SO_PEERCRED of unix(7)."""
    connection = cast(socket.socket, writer.get_extra_info("socket"))
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    _, uid, _ = struct.unpack("3i", credentials)
    return int(uid)


def about(verb: Verb) -> dict[str, object]:
    """What the log says of a verb: its numbers, and never text that a user wrote."""
    fields = msgspec.structs.asdict(verb)
    return {
        name: value for name, value in fields.items() if isinstance(value, int) or name in ("process", "kind", "commit")
    }


def daemon_uids(box: Box) -> set[int]:
    """Root and the daemon's user; in session mode the one user that there is."""

    return {0, box.user(DAEMON_USER)} if box.settings.switches_users else {os.getuid()}


async def _send(writer: asyncio.StreamWriter, answer: Answer) -> None:
    writer.write(frame(answer))
    async with asyncio.timeout(REQUEST_SECONDS):
        await writer.drain()
