"""What somebody sees of a server from outside, and what must be true of it in the end."""

import re
import subprocess

from tests.vps.servers import Server


def base_of(server: Server) -> str:
    """The panel's name, which apps' names end with."""
    return f"{server.address.replace('.', '-')}.sslip.io"


def ask(server: Server, name: str, path: str = "/", *options: str, scheme: str = "https") -> tuple[int, str]:
    """→ status and body of a request from outside; status 0 where there was no answer."""
    port = 443 if scheme == "https" else 80
    curl = ["curl", "-sk", "--max-time", "10", "--resolve", f"{name}:{port}:{server.address}", "-w", "\n%{http_code}"]
    said = subprocess.run([*curl, *options, f"{scheme}://{name}{path}"], capture_output=True, text=True, check=False)
    body, _, status = said.stdout.rpartition("\n")
    return int(status), body


def deploy_hello(server: Server, repository: str) -> None:
    server.must("slipway", "apps", "create", "hello", "--repo", repository)
    server.must("slipway", "deploy", "hello", "--wait")


def agrees(server: Server, seconds: float = 60) -> None:
    """The app serves; database, units, nginx and routes agree; nothing is left over; every deployment has ended."""
    server.until(lambda: not wrong(server), f"all agrees: {wrong(server)}", seconds)


def wrong(server: Server) -> list[str]:
    found = []
    if ask(server, f"hello.{base_of(server)}")[0] != 200:
        found.append("the app does not answer")
    if (doctor := server.run("slipway", "doctor")).returncode != 0:
        found.append(doctor.stdout)
    found += [
        f"deployment {one['id']} has not ended" for one in server.json("deployments", "hello") if not one["ended"]
    ]
    own = server.own_id()
    units = server.must("systemctl", "list-units", "--all", "--plain", "--no-legend", f"slipway-{own}-*.service")
    for line in units.splitlines():
        unit, _, active, *_ = line.split()
        if active == "failed":
            found.append(f"{unit} has failed")
        if re.search(r"-(fetch|build|release)-\d+\.service$", unit):
            found.append(f"{unit} is left over")
    markers = server.must("sh", "-c", "ls /srv/slipway/live | grep -c '\\.' || true").strip()
    if markers != "1":
        found.append(f"{markers} route markers instead of one")
    return found
