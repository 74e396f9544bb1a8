"""The rival: the same nginx configuration with a fixed upstream, rewritten and reloaded at each switch."""

import asyncio
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.benchmarks.bench_box import BenchBox
from tests.benchmarks.wire import Target, connected
from tests.integration.conftest import free_port

CONFIGURATION = """
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    keepalive_timeout 75s;
    keepalive_requests 10000;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
    upstream app {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 32; keepalive_timeout 1s; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        ssl_protocols TLSv1.2 TLSv1.3;
        proxy_http_version 1.1;
        proxy_read_timeout 1h;
        proxy_set_header Host $http_host;
        proxy_set_header Upgrade $http_upgrade;
        proxy_set_header Connection $connection_upgrade;
        location / {{ proxy_pass http://app; }}
    }}
}}
"""


class Reloading:
    def __init__(self, bench: BenchBox, folder: Path, ports: tuple[int, int]) -> None:
        self._bench, self._folder, self._ports = bench, folder, ports
        self._port = free_port()
        self._now = 0

    @property
    def target(self) -> Target:
        return Target("hello.localhost", self._port, self._bench.trust)

    def write(self) -> None:
        tls = self._bench.certificate.parent
        (self._folder / "nginx.conf").write_text(
            CONFIGURATION.format(
                folder=self._folder,
                upstream=self._ports[self._now],
                port=self._port,
                certificate=tls / "certificate.pem",
                key=tls / "key.pem",
            )
        )

    def nginx(self, *arguments: str) -> None:
        command = ["/usr/sbin/nginx", "-e", f"{self._folder}/error.log", "-c", f"{self._folder}/nginx.conf"]
        subprocess.run([*command, *arguments], check=True, capture_output=True)

    async def switch(self) -> None:
        """Returns when the command does; the new configuration may serve a little later."""
        self._now = 1 - self._now
        self.write()
        await asyncio.to_thread(self.nginx, "-s", "reload")

    async def switch_and_wait(self) -> float:
        """Seconds from the wish to the first answer of the other release."""
        # Asked at its port: through nginx, a worker that is on its way out may still answer from the one before.
        wanted = httpx.get(f"http://127.0.0.1:{self._ports[1 - self._now]}/whoami").json()["release"]
        began = time.monotonic()
        await self.switch()
        while True:
            try:
                async with connected(self.target) as connection:
                    if (await connection.ask("GET", "/whoami")).json["release"] == wanted:
                        return time.monotonic() - began
            except (OSError, EOFError):
                pass


@contextmanager
def reloading(bench: BenchBox, ports: tuple[int, int]) -> Iterator[Reloading]:
    """Runs between the two ports."""
    folder = bench.box.state / "rival"
    folder.mkdir(exist_ok=True)
    rival = Reloading(bench, folder, ports)
    rival.write()
    rival.nginx()
    try:
        yield rival
    finally:
        rival.nginx("-s", "stop")
