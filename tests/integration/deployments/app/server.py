"""An app for tests to deploy: it says which release answers, can be slow, fail and stream, and speaks WebSocket."""

import base64
import hashlib
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

RELEASE = os.environ.get("SLIPWAY_RELEASE", "")
WORD = os.environ.get("WORD", "")
WEBSOCKET_KEY = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3

stopping = threading.Event()
in_flight: set[int] = set()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        in_flight.add(threading.get_ident())
        try:
            self.get()
        finally:
            in_flight.discard(threading.get_ident())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.answer(200, body)

    def get(self) -> None:
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        if url.path == "/slow":
            time.sleep(float(asked["seconds"]))
        if url.path == "/exit":
            os._exit(int(asked["code"]))
        if url.path == "/kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if url.path == "/say":
            print(asked["text"], flush=True)
        if url.path == "/events":
            self.stream()
            return
        if url.path == "/ws":
            self.websocket()
            return
        status = 500 if url.path == "/fail" else 200
        self.answer(status, json.dumps({"release": RELEASE, "word": WORD, "pid": os.getpid()}).encode())

    def stream(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("X-Accel-Buffering", "no")
        self.send_header("Connection", "close")
        self.end_headers()
        while not stopping.is_set():
            self.wfile.write(f"data: {RELEASE}\n\n".encode())
            stopping.wait(0.1)

    def websocket(self) -> None:
        """To each short message the release is the answer; one that is open is no reason to stay when asked to go."""
        in_flight.discard(threading.get_ident())
        self.close_connection = True
        key = self.headers["Sec-WebSocket-Key"].encode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + WEBSOCKET_KEY).digest()).decode())
        self.end_headers()
        while head := self.rfile.read(2):
            self.rfile.read(4 + (head[1] & 0x7F))  # the mask and the text
            if head[0] & 0x0F == 0x8:
                self.wfile.write(b"\x88\0")
                return
            self.wfile.write(bytes([0x81, len(RELEASE)]) + RELEASE.encode())

    def answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """nginx keeps the access log."""


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 512


def main() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1"
    port = int(os.environ["PORT"]) + (int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    server = Server((address, port), Handler)
    threading.Thread(target=server.serve_forever, args=(0.05,)).start()
    print(f"release {RELEASE} listens", flush=True)
    signal.sigwait({signal.SIGTERM})
    stopping.set()
    server.shutdown()
    server.server_close()
    deadline = time.monotonic() + 8
    while in_flight and time.monotonic() < deadline:
        time.sleep(0.02)


if __name__ == "__main__":
    main()
