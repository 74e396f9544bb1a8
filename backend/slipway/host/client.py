"""The daemon's way to the host agent: one connection for each request (protocol: `slipway.host.protocol`)."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, overload

import msgspec

from slipway.errors import HostRefused, Unavailable
from slipway.host.frames import frame, read_frame
from slipway.host.protocol import (
    AgentStatus,
    Box,
    CertificateFacts,
    Changed,
    Compare,
    DiskUsage,
    Drift,
    EnvironmentUsers,
    ExitRecords,
    Exits,
    FindWork,
    Inspect,
    InstallCertificate,
    Key,
    MeasureDisk,
    Mend,
    PrepareEnvironment,
    ReadKey,
    ReadUsage,
    Refused,
    Response,
    Status,
    Usage,
    Verb,
    Watch,
    Work,
)

CONNECT_SECONDS = 5.0
"""How long a missing agent is waited for: long enough to ride out its restart."""
PAUSE_SECONDS = 0.05

_decoder: "msgspec.json.Decoder[Any]" = msgspec.json.Decoder(Response)


class HostAway(Unavailable):
    """The host agent does not answer now. Like everything unavailable, but those who wait can say for whom."""


class Host:
    """The host agent behind its socket.

    Every request raises HostRefused (with the agent's own code in `reason`) when the agent understood and did not
    do it, Unavailable when it cannot do it now, cannot be reached, or keeps going away before it answers. A request
    that was interrupted may have been carried out; every verb may be sent again.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    @overload
    async def call(self, verb: Status) -> AgentStatus: ...
    @overload
    async def call(self, verb: ReadKey) -> Key: ...
    @overload
    async def call(self, verb: PrepareEnvironment) -> EnvironmentUsers: ...
    @overload
    async def call(self, verb: FindWork) -> Work: ...
    @overload
    async def call(self, verb: Inspect) -> Box: ...
    @overload
    async def call(self, verb: MeasureDisk) -> DiskUsage: ...
    @overload
    async def call(self, verb: Exits) -> ExitRecords: ...
    @overload
    async def call(self, verb: InstallCertificate) -> CertificateFacts: ...
    @overload
    async def call(self, verb: ReadUsage) -> Usage: ...
    @overload
    async def call(self, verb: Compare | Mend) -> Drift: ...
    @overload
    async def call(self, verb: Verb) -> object: ...
    async def call(self, verb: Verb) -> object:
        """Ask one thing and wait for its answer, however long the work behind it takes.

        An agent that goes away in the middle is asked again when it is back: every verb may be sent twice.
        """
        lost: float | None = None
        while True:
            try:
                answer = await self._ask(verb)
                break
            except (OSError, asyncio.IncompleteReadError) as error:
                now = asyncio.get_running_loop().time()
                lost = lost or now
                if now - lost > CONNECT_SECONDS:
                    raise HostAway(_went_away(verb)) from error
        if isinstance(answer, Refused) and answer.code == "unavailable":
            raise Unavailable(answer.message)
        if isinstance(answer, Refused):
            raise HostRefused(answer.message, reason=answer.code)
        return answer

    async def _ask(self, verb: Verb) -> object:
        reader, writer = await self._connect()
        try:
            writer.write(frame(verb))
            await writer.drain()
            return _decoder.decode(await read_frame(reader))
        finally:
            writer.close()

    async def watch(self) -> AsyncIterator[Changed]:
        """Changes as they happen, until the agent goes away (Unavailable): then ask for everything and watch anew."""
        reader, writer = await self._connect()
        try:
            writer.write(frame(Watch()))
            await writer.drain()
            while True:
                answer = _decoder.decode(await read_frame(reader))
                if isinstance(answer, Refused):
                    raise HostRefused(answer.message, reason=answer.code)
                if isinstance(answer, Changed):
                    yield answer
        except (OSError, asyncio.IncompleteReadError) as error:
            raise HostAway(_went_away(Watch())) from error
        finally:
            writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection; a socket that is not there or refuses is tried again for CONNECT_SECONDS."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + CONNECT_SECONDS
        while True:
            try:
                return await asyncio.open_unix_connection(str(self._socket))
            except PermissionError as error:
                raise Unavailable(
                    f"this user may not open the host agent's socket {self._socket}: only `slipway` and root may"
                ) from error
            except OSError as error:
                if loop.time() >= deadline:
                    raise HostAway(
                        f"the host agent does not answer at {self._socket} ({error.strerror}). Nothing can be started, "
                        "stopped or switched until it does; what runs goes on running. See `slipway doctor`."
                    ) from error
            await asyncio.sleep(PAUSE_SECONDS)


def _went_away(verb: Verb) -> str:
    name = verb.__struct_config__.tag
    return f"the host agent went away before it answered to `{name}`; asking again is safe"
