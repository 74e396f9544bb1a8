"""Proxies in front of a box's database and host agent, which make the Nth write or the Nth verb fail.

They take the place of both sockets, so that nothing in Slipway knows of them. By itself this file is the program that
does so, in the box's world; `Faults` starts it and tells it what is to fail.
"""

import asyncio
import contextlib
import json
import os
import pwd
import re
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.integration.conftest import Box

AGENT = "/run/slipway/host.sock"
DATABASE = "/run/slipway/postgresql/.s.PGSQL.5432"
CONTROL = "/run/slipway/faults.sock"
BEHIND = ".behind"
WRITES = re.compile(r"^\s*(WITH\b.*\b)?(INSERT INTO|UPDATE \w+|DELETE FROM|TRUNCATE)\b", re.IGNORECASE | re.DOTALL)
FAILED = {"answer": "refused", "code": "failed", "message": "the machine refused: a test wants it so"}
UNAVAILABLE = {"answer": "refused", "code": "unavailable", "message": "The machine's message bus was started anew."}


class Faults:
    """In a test: what stands between a box's daemon and the rest."""

    def __init__(self, box: "Box") -> None:
        self._box = box
        argv = box.entering("/usr/bin/python3", "-c", Path(__file__).read_text())
        self._process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n"
        box.restart("daemon")  # its connections were made before

    def arm(self, what: str, nth: int, how: str, only: str = "", but: str = "^$") -> None:
        """Count from now on, all or only those of one name, but for writes that a pattern fits; the Nth fails.

        How: `lost`, it does not arrive; `failed`, `unavailable`, the agent says so and does nothing. With ` after`, it
        is carried out first; `hold after`, it is carried out and no answer ever comes.
        """
        self._tell({"what": what, "nth": nth, "how": how, "only": only, "but": but})

    def disarm(self) -> None:
        """Let everything through, what was to fail and did not come yet, too."""
        self.arm("nothing", 0, "lost")

    def counted(self) -> dict[str, Any]:
        """The `verb`s and `write`s since it was armed, and which of them `failed`."""
        return self._tell({})

    def end(self) -> None:
        over = self._process.poll() is not None  # with the whole server
        self._process.communicate(timeout=10)  # the end of what it is given ends it
        if not over:
            self._box.restart("daemon")

    def _tell(self, order: dict[str, Any]) -> dict[str, Any]:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._box.state / CONTROL.lstrip("/")))
            control.sendall(json.dumps(order).encode() + b"\n")
            with control.makefile() as answers:
                answer: dict[str, Any] = json.loads(answers.readline())
                return answer


class Proxies:
    """All that runs in the box's world."""

    def __init__(self) -> None:
        self.seen: dict[str, list[str]] = {"verb": [], "write": []}
        self._what, self._nth, self._how, self._only = "", 0, "", ""
        self._failed = ""
        self.but = re.compile("")

    async def control(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = json.loads(await reader.readline())
        if order:
            self.seen = {"verb": [], "write": []}
            self._what, self._nth, self._how = order["what"], order["nth"], order["how"]
            self._only, self._failed = order["only"], ""
            self.but = re.compile(order["but"])
        writer.write(json.dumps({**self.seen, "failed": self._failed}).encode() + b"\n")
        await writer.drain()
        writer.close()

    def meets(self, what: str, name: str) -> str:
        """Count one; → how it is to fail, or nothing."""
        if self._only not in ("", name):
            return ""
        self.seen[what].append(name)
        if what != self._what or len(self.seen[what]) != self._nth:
            return ""
        self._failed = name
        return self._how

    # ---- the host agent: one connection, one frame, one answer

    async def agent(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await frame(reader)
        verb = json.loads(asked[4:])["verb"]
        how = "" if verb == "watch" else self.meets("verb", verb)
        if how == "lost":
            return
        if how in ("failed", "unavailable"):
            writer.write(framed(FAILED if how == "failed" else UNAVAILABLE))
            await writer.drain()
            return
        answers, behind = await asyncio.open_unix_connection(AGENT + BEHIND)
        try:
            behind.write(asked)
            if verb == "watch":
                await first_to_end(pipe(answers, writer), until_end(reader))
                return
            answer = await frame(answers)
            if how == "hold after":
                await until_end(reader)
                return
            if how == "failed after":
                answer = framed(FAILED)
            if how == "unavailable after":
                answer = framed(UNAVAILABLE)
            if how != "lost after":
                writer.write(answer)
                await writer.drain()
        finally:
            behind.close()

    # ---- PostgreSQL: https://www.postgresql.org/docs/current/protocol-message-formats.html

    async def database(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        answers, behind = await asyncio.open_unix_connection(DATABASE + BEHIND)
        try:
            length = await reader.readexactly(4)
            behind.write(length + await reader.readexactly(int.from_bytes(length, "big") - 4))
            session = Session(self)
            await first_to_end(session.to_server(reader, behind), session.to_client(answers, writer))
        finally:
            behind.close()


class Session:
    """One connection to the database. It ends when one of its two directions does."""

    def __init__(self, proxies: Proxies) -> None:
        self._proxies = proxies
        self._statements: dict[bytes, str] = {}
        self._portals: dict[bytes, str] = {}
        self._copying = ""
        self._has_written = False
        """Since the last BEGIN: else a COMMIT writes nothing."""
        self._keeps_answers = False

    async def to_server(self, reader: asyncio.StreamReader, behind: asyncio.StreamWriter) -> None:
        while True:
            kind, message = await self._message(reader)
            how = self._look(kind, message[5:])
            if how == "lost":
                return
            if how == "lost after":
                self._keeps_answers = True
            behind.write(message)
            await behind.drain()

    async def to_client(self, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            kind, message = await self._message(answers)
            if not self._keeps_answers:
                writer.write(message)
                await writer.drain()
            elif kind == b"Z":  # ready for the next: what was asked has been done
                return

    async def _message(self, reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
        head = await reader.readexactly(5)
        return head[:1], head + await reader.readexactly(int.from_bytes(head[1:], "big") - 4)

    def _look(self, kind: bytes, body: bytes) -> str:
        """→ how what a client sends is to fail, or nothing."""
        if kind == b"P":
            name, sql, _ = body.split(b"\0", 2)
            self._statements[name] = sql.decode()
        elif kind == b"B":
            portal, name, _ = body.split(b"\0", 2)
            self._portals[portal] = self._statements[name]
        elif kind == b"E":
            sql = self._portals[body.split(b"\0", 1)[0]]
            if WRITES.match(sql):
                return self._write(sql)
        elif kind == b"Q":
            sql = body.rstrip(b"\0").decode()
            if sql.startswith("COPY"):
                self._copying = sql
            elif sql.startswith("BEGIN"):
                self._has_written = False
            elif (sql.startswith("COMMIT") and self._has_written) or WRITES.match(sql):
                return self._write(sql)
        elif kind == b"c":
            return self._write(self._copying)
        return ""

    def _write(self, sql: str) -> str:
        if self._proxies.but.search(sql):
            return ""
        self._has_written = True
        return self._proxies.meets("write", " ".join(sql.split())[:80])


async def frame(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length, "big"))


def framed(answer: dict[str, str]) -> bytes:
    body = json.dumps(answer).encode()
    return len(body).to_bytes(4, "big") + body


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while some := await reader.read(65536):
        writer.write(some)
        await writer.drain()


async def until_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


async def first_to_end(*ways: Any) -> None:
    tasks = [asyncio.ensure_future(way) for way in ways]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def closing(serve: Serve) -> Serve:
    """An end on either side is an ordinary end."""

    async def served(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()

    return served


def listening(path: str) -> socket.socket:
    one = socket.socket(socket.AF_UNIX)
    one.bind(path)
    os.chmod(path, 0o666)
    one.listen(512)
    return one


async def run() -> None:
    proxies = Proxies()
    for path in (AGENT, DATABASE):
        Path(path).rename(path + BEHIND)
    # Made by root, where only root may; then this is the daemon's user, as whom the agent and PostgreSQL are asked.
    sockets = [listening(path) for path in (AGENT, DATABASE, CONTROL)]
    daemon = pwd.getpwnam("slipway")
    os.initgroups("slipway", daemon.pw_gid)
    os.setegid(daemon.pw_gid)
    os.seteuid(daemon.pw_uid)
    for one, serve in zip(sockets, (proxies.agent, proxies.database, proxies.control), strict=True):
        await asyncio.start_unix_server(closing(serve), sock=one)
    given = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(given), sys.stdin)
    print("ready", flush=True)
    await given.read()
    os.seteuid(0)
    for path in (AGENT, DATABASE):
        with contextlib.suppress(FileNotFoundError):
            Path(path + BEHIND).rename(path)
    Path(CONTROL).unlink()


if __name__ == "__main__":
    sys.exit(asyncio.run(run()))
