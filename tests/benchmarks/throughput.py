"""How much of nginx's throughput the route look-up costs, with few environments and with many."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from slipway.host.agent.templates import Templates, Words
from slipway.settings import SLOTS, Http, Installation, Mode, Settings
from slipway.setup.templates import render_nginx
from tests.benchmarks.bench_box import BenchBox
from tests.benchmarks.figures import Section, median
from tests.integration.conftest import CHECKOUT, free_port

ENVIRONMENTS = (10, 1000)
ROUNDS = 9
SECONDS = 1
CONNECTIONS = 32
TARGET = 0.9
RESPONSE = "x" * 1024

SAID = f"""\
`wrk` with {CONNECTIONS} connections against one nginx worker with Slipway's own configuration and site template,
without TLS; the upstream is another nginx that answers 1 kB. The same server has one more site, equal but for a fixed
`proxy_pass` in place of the look-up; both are asked in turns, {ROUNDS} rounds of {SECONDS} s, and the ratio is the
median of the rounds' ratios. On a busy machine the worker's processor time is the figure to trust. The look-up asks
for the marker of slot 1 first, each further slot costs one stat(2) more, so that slot 3 is its longest way. A release
gets the first slot that is free: 1 and 2 in turns where standbys have ended before the next deployment, all three in
turns where deployments follow each other faster."""

UPSTREAM = """
worker_processes 1;
daemon on;
pid {folder}/upstream.pid;
error_log {folder}/upstream-error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    default_type text/plain;
    keepalive_requests 1000000;
    client_body_temp_path {folder}/upstream-body;
    proxy_temp_path {folder}/upstream-proxy;
    fastcgi_temp_path {folder}/upstream-fastcgi;
    uwsgi_temp_path {folder}/upstream-uwsgi;
    scgi_temp_path {folder}/upstream-scgi;
    server {{
        listen 127.0.0.1:{port};
        location / {{ return 200 "{response}"; }}
    }}
}}
"""


async def measure(_bench: BenchBox) -> Section:
    section = Section(
        "Throughput through the route look-up",
        SAID,
        ["environments", "live in", "fixed upstream", "look-up", "ratio", "target", "worker's time a request"],
    )
    for environments in ENVIRONMENTS:
        for slot in SLOTS:
            with _nginx(environments, slot) as server:
                _ask(server, "fixed", 1)  # opens what is opened once
                rounds = [(_ask(server, "fixed", SECONDS), _ask(server, "environment", SECONDS)) for _ in range(ROUNDS)]
            ratio = median([looked_up.speed / fixed.speed for fixed, looked_up in rounds])
            fixed, looked_up = ([both[way] for both in rounds] for way in (0, 1))
            section.add(
                f"{environments:,}",
                f"slot {slot}",
                f"{median([one.speed for one in fixed]):,.0f} req/s",
                f"{median([one.speed for one in looked_up]):,.0f} req/s",
                f"{ratio:.2f}",
                section.verdict(ratio, TARGET, at_least=True),
                f"{median([one.cost for one in fixed]):.1f} → {median([one.cost for one in looked_up]):.1f} µs",
            )
    return section


@dataclass(frozen=True)
class Server:
    port: int
    worker: int
    """Its process id."""

    def worker_seconds(self) -> float:
        """Processor time that the worker used so far."""
        fields = Path(f"/proc/{self.worker}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Asked:
    speed: float
    """Requests a second."""
    cost: float
    """The worker's processor time for one request, in µs."""


def _ask(server: Server, name: str, seconds: int) -> Asked:
    """Raises RuntimeError where an answer was an error."""
    before = server.worker_seconds()
    said = subprocess.run(
        [
            "wrk", "--threads", "1", "--connections", str(CONNECTIONS), "--duration", f"{seconds}s",
            "--header", f"Host: {name}.localhost", f"http://127.0.0.1:{server.port}/",
        ],
        check=True,
        capture_output=True,
        text=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk: {said}")
    speed, count = re.search(r"Requests/sec:\s+([\d.]+)", said), re.search(r"(\d+) requests in", said)
    assert speed is not None, said
    assert count is not None, said
    return Asked(float(speed[1]), (server.worker_seconds() - before) / int(count[1]) * 1e6)


@contextmanager
def _nginx(environments: int, slot: int) -> Iterator[Server]:
    """Slipway's nginx with so many sites, one of them live in the slot."""
    with tempfile.TemporaryDirectory(prefix="nginx-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # nginx's workers are another user
        settings = Settings(
            installation=Installation(id="loop", mode=Mode.SESSION), http=Http(port=free_port()), prefix=name
        )
        upstream_port = free_port()
        _write_configuration(settings)
        _write_sites(settings, environments, upstream_port)
        (settings.paths.live / f"{environments // 2}.{slot}").touch()
        (folder / "upstream.conf").write_text(UPSTREAM.format(folder=folder, port=upstream_port, response=RESPONSE))
        with _running(folder / "upstream.conf"), _running(settings.paths.nginx / "nginx.conf"):
            master = (settings.paths.run / "nginx.pid").read_text().strip()
            yield Server(settings.http.port, _worker(master))


def _worker(master: str) -> int:
    """Once nginx has it: the pid file is there before."""
    while not (children := Path(f"/proc/{master}/task/{master}/children").read_text().split()):
        time.sleep(0.01)
    return int(children[0])


def _write_configuration(settings: Settings) -> None:
    paths = settings.paths
    for path in (
        paths.nginx / "sites", paths.nginx / "snippets", paths.run, paths.log, paths.cache / "nginx", paths.live
    ):  # fmt: skip
        path.mkdir(parents=True)
    for name, text in render_nginx(settings, CHECKOUT).items():
        (paths.nginx / name).write_text(re.sub(r"worker_processes \d+", "worker_processes 1", text))
    (paths.nginx / "generation.conf").write_text('return 200 "0\\n";\n')


def _write_sites(settings: Settings, environments: int, upstream_port: int) -> None:
    """The middle one is asked for; `fixed` is equal to it but for the look-up."""
    templates = Templates(CHECKOUT / "templates")
    asked = environments // 2

    def site(environment: int, hostname: str) -> str:
        return templates.render(
            "site.conf.j2",
            environment=environment,
            place=environment,
            slots=[{"number": slot, "ports": [upstream_port]} for slot in SLOTS],
            listens=[Words(f"{settings.http.address}:{settings.http.port}")],
            listens_ipv6=[],
            hostnames=[hostname],
            certificates=settings.paths.nginx / "certificates",
            live=settings.paths.live,
            snippets=settings.paths.nginx / "snippets",
        )

    sites = settings.paths.nginx / "sites"
    for environment in range(1, environments + 1):
        hostname = "environment.localhost" if environment == asked else f"e{environment}.localhost"
        (sites / f"{environment}.conf").write_text(site(environment, hostname))
    equal = site(environments + 1, "fixed.localhost")
    location = f"location / {{ proxy_pass http://slipway_{environments + 1}_1; }}"
    fixed, changed = re.subn(r"location / \{\n.*?\n    \}\n", location, equal, count=1, flags=re.DOTALL)
    assert changed == 1, "the template has no `location /` any more"
    (sites / "fixed.conf").write_text(fixed)
    settings.paths.nginx_sites.write_text("".join(f"include {file};\n" for file in sites.iterdir()))


@contextmanager
def _running(configuration: Path) -> Iterator[None]:
    nginx = ["nginx", "-e", f"{configuration.parent}/errors.log", "-c", str(configuration)]
    subprocess.run(nginx, check=True)
    try:
        yield
    finally:
        subprocess.run([*nginx, "-s", "stop"], check=True)
        _await_end(configuration)


def _await_end(configuration: Path) -> None:
    """Until its pid file is gone."""
    pid_file = re.search(r"^pid (\S+);", configuration.read_text(), flags=re.MULTILINE)
    assert pid_file is not None
    while Path(pid_file[1]).exists():
        time.sleep(0.01)
