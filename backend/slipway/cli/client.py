"""The API from the command line: over root's socket on the server, or over HTTP with a token."""

import http.client
import json
import os
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from slipway.cli import exits

SECONDS = 120.0
"""Longer than any single answer takes; streams say that they are alive every 15 s."""
RETRY_SECONDS = 60.0
"""How long a stream that broke is tried again: a restart of the daemon is shorter."""

ON_ITS_SERVER = "On its server, `slipway doctor` says what to do."


class CliError(Exception):
    """The message goes to standard error; `code` is the exit code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


class Event:
    """One Server-Sent Event."""

    def __init__(self, name: str, identifier: str | None, data: Any) -> None:
        self.name = name
        self.id = identifier
        self.data = data


class Client:
    """`$SLIPWAY_URL` and `$SLIPWAY_TOKEN` where they are set, else the admin socket of this machine."""

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        self._url = environment.get("SLIPWAY_URL", "").rstrip("/")
        self._token = environment.get("SLIPWAY_TOKEN", "").strip()
        self._socket = "" if self._url else _admin_socket(environment)
        self._environment = environment
        if self._url and not self._token:
            raise CliError(
                "SLIPWAY_URL is set but SLIPWAY_TOKEN is not. Make a token on your account's page.", exits.USAGE
            )

    def get(self, *path: str, **query: object) -> Any:
        return self.request("GET", path, query=query)

    def post(self, *path: str, body: object = None) -> Any:
        return self.request("POST", path, body={} if body is None else body)

    def request(
        self, method: str, path: tuple[str, ...], *, query: Mapping[str, object] | None = None, body: object = None
    ) -> Any:
        """→ the answer's JSON (None if there is none). Raises CliError with the problem's own words."""
        response, connection = self._send(method, path, query, body, {})
        with connection:
            content = response.read()
            if response.status >= 400:
                raise _refusal(response.status, content)
            return _decoded(content, self._url or self._socket) if content else None

    def await_gone(self, *path: str) -> None:
        """Wait for what is being deleted to be gone, or to be there anew."""
        give_up: float | None = None
        while True:
            try:
                if not self.get(*path)["deleting"]:
                    return
                give_up = None
            except CliError as error:
                if error.code == exits.NOT_FOUND:
                    return
                if error.code != exits.UNAVAILABLE or (give_up and time.monotonic() > give_up):
                    raise
                give_up = give_up or time.monotonic() + RETRY_SECONDS
            time.sleep(0.5)

    def every(self, *path: str, limit: int | None = None, **query: object) -> list[Any]:
        """All items of a list that comes in pages, or the first `limit`."""
        items: list[Any] = []
        cursor: str | None = None
        while True:
            size = 100 if limit is None else min(100, limit - len(items))
            page = self.get(*path, limit=size, cursor=cursor, **query)
            items += page["items"]
            cursor = page["next"]
            if cursor is None or (limit is not None and len(items) >= limit):
                return items

    def stream(self, *path: str, last_id: str | None = None, **query: object) -> Iterator[Event]:
        """Events of a stream. One that breaks is taken up again where it was; one that ends is over."""
        give_up: float | None = None
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
            try:
                response, connection = self._send("GET", path, query, None, headers)
                with connection:
                    if response.status >= 400:
                        raise _refusal(response.status, response.read())
                    give_up = None
                    for event in _events(response):
                        last_id = event.id or last_id
                        yield event
                        if event.name == "end":
                            return
            except CliError as error:
                if error.code != exits.UNAVAILABLE or (give_up and time.monotonic() > give_up):
                    raise
            except (OSError, http.client.HTTPException) as error:
                if give_up and time.monotonic() > give_up:
                    raise CliError(f"The stream broke and does not come back: {error}", exits.UNAVAILABLE) from error
            give_up = give_up or time.monotonic() + RETRY_SECONDS
            time.sleep(0.5)

    def _send(
        self,
        method: str,
        path: tuple[str, ...],
        query: Mapping[str, object] | None,
        body: object,
        headers: dict[str, str],
    ) -> tuple[http.client.HTTPResponse, "_Closing"]:
        target = "/api/" + "/".join(quote(part, safe="") for part in path)
        given = {name: str(value) for name, value in (query or {}).items() if value is not None}
        if given:
            target += "?" + urlencode(given)
        content = None
        if body is not None:
            content = json.dumps(body).encode()
            headers = headers | {"Content-Type": "application/json"}
        if self._token:
            headers = headers | {"Authorization": f"Bearer {self._token}"}
        connection = self._connection()
        try:
            connection.request(method, target, content, headers)
            return connection.getresponse(), _Closing(connection)
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._unreachable(error) from error

    def _connection(self) -> http.client.HTTPConnection:
        if self._socket:
            return _UnixConnection(self._socket, SECONDS)
        try:
            parts = urlsplit(self._url)
            hostname, port = parts.hostname, parts.port
        except ValueError:
            hostname = None
        if not hostname or parts.scheme not in ("http", "https"):
            raise CliError(f"SLIPWAY_URL must be like https://slipway.example.com, not {self._url!r}.", exits.USAGE)
        if parts.scheme == "http":
            return http.client.HTTPConnection(hostname, port, timeout=SECONDS)
        authority = os.environ.get("SLIPWAY_CA") or None
        try:
            context = ssl.create_default_context(cafile=authority)
        except OSError as error:
            raise CliError(f"SLIPWAY_CA: {authority} cannot be read as a certificate: {error}", exits.USAGE) from error
        return http.client.HTTPSConnection(hostname, port, timeout=SECONDS, context=context)

    def _unreachable(self, error: Exception) -> CliError:
        where = self._url or self._socket
        if isinstance(error, PermissionError):
            return CliError(
                f"You may not open {where}: run this as root, or set SLIPWAY_URL and SLIPWAY_TOKEN.", exits.REFUSED
            )
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            message = f"Slipway does not run here: nothing answers at {where}. {self._what_to_do()}"
            return CliError(message, exits.UNAVAILABLE)
        return CliError(f"Slipway does not answer at {where}: {error}. {self._what_to_do()}", exits.UNAVAILABLE)

    def _what_to_do(self) -> str:
        from slipway import settings
        from slipway.errors import Invalid

        named = self._environment.get("SLIPWAY_SETTINGS")
        if self._url or ("SLIPWAY_ADMIN_SOCKET" in self._environment and named is None):
            return ON_ITS_SERVER
        try:
            found = settings.load(Path(named) if named else None)
        except Invalid:
            return ON_ITS_SERVER
        goes_on = "" if found.mode is settings.Mode.SERVER else ", unless `slipway down` ended them too"
        return f"Apps go on without it{goes_on}. {found.how_to_start}{found.how_to_know('daemon')}"


class _Closing:
    """Closes a connection at the end of a `with`."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._connection.close()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _admin_socket(environment: Mapping[str, str]) -> str:
    if path := environment.get("SLIPWAY_ADMIN_SOCKET"):
        return path
    from slipway import settings
    from slipway.errors import Invalid

    named = environment.get("SLIPWAY_SETTINGS")
    try:
        return str(settings.load(Path(named) if named else None).paths.admin_socket)
    except Invalid as error:
        raise CliError(
            f"{error.message} To reach Slipway on another machine, set SLIPWAY_URL and SLIPWAY_TOKEN.",
            exits.UNAVAILABLE,
        ) from error


def _decoded(content: bytes, where: str) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise CliError(f"What answers at {where} is not Slipway: its answer is no JSON.", exits.UNAVAILABLE) from error


def _refusal(status: int, content: bytes) -> CliError:
    try:
        detail = json.loads(content)["detail"]
    except (ValueError, KeyError, TypeError):
        if status in (502, 504):
            detail = f"Slipway does not answer; the web server before it does ({status}). {ON_ITS_SERVER}"
        else:
            detail = f"the server answered {status}: {content[:200].decode(errors='replace')}"
    return CliError(str(detail), exits.of_status(status))


def _events(response: http.client.HTTPResponse) -> Iterator[Event]:
    name, identifier, data = "message", None, ""
    for raw in response:
        line = raw.decode().rstrip("\r\n")
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield Event(name, identifier, json.loads(data))
            name, identifier, data = "message", None, ""
        elif field == "event":
            name = value
        elif field == "id":
            identifier = value
        elif field == "data":
            data += value
