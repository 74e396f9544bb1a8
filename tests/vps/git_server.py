"""Git over HTTPS, as a provider speaks it: `python -m tests.vps.git_server FOLDER PORT CERTIFICATE KEY`.

FOLDER/install.sh can be had by itself; every repository below FOLDER can be fetched, by Git's own `http-backend`
(git-http-backend(1)).
Listens on loopback only, of whatever network it is started in.
"""

import os
import ssl
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class Backend(BaseHTTPRequestHandler):
    folder = ""
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        if self.path.endswith("/install.sh"):
            self._give(Path(self.folder) / "install.sh")
        else:
            self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        url = urlsplit(self.path)
        done = subprocess.run(
            ["git", "-c", "safe.directory=*", "http-backend"],
            input=body,
            capture_output=True,
            check=False,
            env={
                "PATH": os.environ["PATH"],
                "GIT_PROJECT_ROOT": self.folder,
                "GIT_HTTP_EXPORT_ALL": "1",
                "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                "REQUEST_METHOD": self.command,
                "PATH_INFO": url.path,
                "QUERY_STRING": url.query,
                "CONTENT_TYPE": self.headers.get("Content-Type", ""),
                "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                "CONTENT_LENGTH": str(len(body)),
                "REMOTE_ADDR": "127.0.0.1",
            },
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
        self.send_response_only(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _give(self, file: Path) -> None:
        """As a provider's raw view gives a file."""
        self.send_response_only(200)
        self.end_headers()
        self.wfile.write(file.read_bytes())

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    def shutdown_request(self, request: ssl.SSLSocket) -> None:  # type: ignore[override]
        with suppress(OSError):
            request.unwrap()  # a client may take an end without a word for an attack
        super().shutdown_request(request)


def main() -> None:
    folder, port, certificate, key = sys.argv[1:]
    Backend.folder = folder
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with Server(("127.0.0.1", int(port)), Backend) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
