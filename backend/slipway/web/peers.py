"""That a session's cookie comes from a browser, and not from an app on this machine.

Browsers send a cookie to every port of its host: an app that a person visits under `<app>.localhost` can lead the
browser on to `http://localhost:<its own port>` and is handed the panel's cookie there. `__Host-` and `Secure` prevent
it over TLS; on local plain HTTP nothing in the browser does. So there a cookie counts for nothing when the other end
of the connection is a process of an app or a build, which the kernel tells by the user of its socket.
"""

import socket
import struct
from pathlib import Path
from typing import Any

from litestar.connection import ASGIConnection

from slipway.errors import Forbidden
from slipway.settings import Mode, Settings

CLIENT_HEADER = "x-slipway-client"
"""`address:port` of the client as nginx saw it; nginx sets it anew on every request."""
_SOCKETS = Path("/proc/net/tcp")
_ESTABLISHED = "01"


def refuse_apps(connection: ASGIConnection[Any, Any, Any, Any], settings: Settings) -> None:
    """Raises Forbidden when this request, which carries a session's cookie, was sent by an app or a build."""
    if settings.http.tls or settings.mode is not Mode.LOCAL:
        return
    address, _, port = connection.headers.get(CLIENT_HEADER, "").rpartition(":")
    if not address.startswith("127.") or not port.isdigit():
        return
    uid = owner_of(address, int(port), _SOCKETS.read_text())
    first = settings.apps.first_uid
    # Nobody's: it was closed at once, so that its owner cannot be told any more. A browser waits for its answer.
    if uid is None or first <= uid < first + settings.apps.uids:
        raise Forbidden("A sign-in counts in a browser only, not in an app. Give the app an API token instead.")


def owner_of(address: str, port: int, table: str) -> int | None:
    """The user whose open socket has this local address, from the text of /proc/net/tcp (proc(5))."""
    wanted = f"{struct.unpack('=I', socket.inet_aton(address))[0]:08X}:{port:04X}"
    for line in table.splitlines()[1:]:
        fields = line.split(maxsplit=8)
        if fields[1] == wanted and fields[3] == _ESTABLISHED:
            return int(fields[7])
    return None
