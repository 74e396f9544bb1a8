"""A small web app with nothing but Python's standard library.

/         a page that shows which release is answering
/health   for Slipway's check before traffic comes
/events   a stream of server-sent events, one a second
/ws       a WebSocket that sends back what it is sent
/echo     answers a POST with its own body
"""

import base64
import hashlib
import html
import json
import os
import pathlib
import signal
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASE = os.environ.get("SLIPWAY_RELEASE", "not deployed")
ENVIRONMENT = os.environ.get("SLIPWAY_ENVIRONMENT", "local")
COMMIT = os.environ.get("SLIPWAY_COMMIT", "")[:12] or "none"
GREETING = os.environ.get("GREETING", "Hello, world")
STARTED = time.time()
PAGE = pathlib.Path(__file__).with_name("page.html").read_text(encoding="utf-8")

LARGEST_BODY = 16 * 1024 * 1024
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA

GRACE = 8
"""Seconds that requests in flight get at the end."""

stopping = threading.Event()
in_flight: set[int] = set()
"""The threads that are answering right now."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.serve(self.get)

    def do_POST(self) -> None:
        self.serve(self.post)

    do_HEAD = do_GET

    def serve(self, method: Callable[[], None]) -> None:
        in_flight.add(threading.get_ident())
        try:
            method()
        except ConnectionError:
            self.close_connection = True  # the reader left
        finally:
            in_flight.discard(threading.get_ident())

    def get(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/":
            self.answer(200, "text/html; charset=utf-8", page().encode())
        elif path == "/health":
            self.answer(200, "text/plain", b"ok\n")
        elif path == "/whoami":
            about = {"release": RELEASE, "environment": ENVIRONMENT, "commit": COMMIT, "pid": os.getpid()}
            self.answer(200, "application/json", json.dumps(about).encode() + b"\n")
        elif path == "/events":
            self.stream_events()
        elif path == "/ws":
            self.speak_websocket()
        else:
            self.answer(404, "text/plain", b"There is no such page.\n")

    def post(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST_BODY:
            self.close_connection = True
            self.answer(413, "text/plain", b"The body's length is missing or too large.\n")
            return
        body = self.rfile.read(int(length))
        if self.path.partition("?")[0] == "/echo":
            self.answer(200, self.headers.get("Content-Type", "application/octet-stream"), body)
        else:
            self.answer(404, "text/plain", b"There is no such page.\n")

    def answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Release", RELEASE)
        if stopping.is_set():
            self.close_connection = True
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def stream_events(self) -> None:
        """One event a second, until the reader leaves or the server stops."""
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        number = 0
        while not stopping.is_set():
            number += 1
            data = json.dumps({"number": number, "release": RELEASE, "at": time.time()})
            self.wfile.write(f"id: {number}\ndata: {data}\n\n".encode())
            stopping.wait(1)

    def speak_websocket(self) -> None:
        """RFC 6455, the server's side: shake hands, then send back each message."""
        self.close_connection = True
        key = self.headers.get("Sec-WebSocket-Key")
        if key is None or self.headers.get("Upgrade", "").lower() != "websocket":
            self.answer(400, "text/plain", b"This address speaks WebSocket only.\n")
            return
        accept = base64.b64encode(hashlib.sha1(key.encode() + WEBSOCKET_KEY).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.connection.settimeout(None)
        while (frame := self.read_frame()) is not None:
            kind, payload = frame
            if kind == CLOSE:
                self.write_frame(CLOSE, payload[:2])
                return
            if kind != PONG:
                self.write_frame(PONG if kind == PING else kind, payload)

    def read_frame(self) -> "tuple[int, bytes] | None":
        """(opcode, payload); None when the other side is gone. Messages in several frames are not supported."""
        head = self.rfile.read(2)
        if len(head) < 2:
            return None
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.rfile.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.rfile.read(8))
        if length > LARGEST_BODY or not head[1] & 0x80:
            return None
        mask = self.rfile.read(4)
        payload = self.rfile.read(length)
        return head[0] & 0x0F, bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))

    def write_frame(self, kind: int, payload: bytes) -> None:
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | kind, length)
        elif length < 65536:
            head = struct.pack("!BBH", 0x80 | kind, 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | kind, 127, length)
        self.wfile.write(head + payload)

    def log_message(self, format: str, *values: object) -> None:
        """Only what matters: the web server in front keeps the access log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def page() -> str:
    values = {
        "greeting": GREETING,
        "release": RELEASE,
        "environment": ENVIRONMENT,
        "commit": COMMIT,
        "uptime": f"{time.time() - STARTED:.0f} s",
    }
    text = PAGE
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", html.escape(value))
    return text


def main() -> None:
    asked_to_stop = {signal.SIGTERM, signal.SIGINT}
    signal.pthread_sigmask(signal.SIG_BLOCK, asked_to_stop)
    server = Server(("127.0.0.1", int(os.environ.get("PORT", "8000"))), Handler)
    threading.Thread(target=server.serve_forever, args=(0.1,)).start()
    print(f"{GREETING}! Release {RELEASE} listens on port {server.server_port}", flush=True)

    signal.sigwait(asked_to_stop)
    print("stopping: requests in flight are answered", flush=True)
    stopping.set()
    server.shutdown()
    server.server_close()
    deadline = time.monotonic() + GRACE
    while in_flight and time.monotonic() < deadline:
        time.sleep(0.02)


if __name__ == "__main__":
    main()
