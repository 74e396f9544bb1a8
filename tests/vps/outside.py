"""What somebody sees of a server from outside, and what must be true of it in the end."""

import json
import subprocess
import time

from tests.integration.deployments.leftovers import leftovers
from tests.vps.boxes import OnServer
from tests.vps.servers import Server


def base_of(server: Server) -> str:
    """The panel's name, which apps' names end with."""
    return server.base


def ask(server: Server, name: str, path: str = "/", *options: str, scheme: str = "https") -> tuple[int, str]:
    """→ status and body of a request from outside; status 0 where there was no answer."""
    port = 443 if scheme == "https" else 80
    curl = ["curl", "-sk", "--max-time", f"{10 * server.slowness:g}", "--resolve", f"{name}:{port}:{server.address}"]
    curl += ["-w", "\n%{http_code}"]
    said = subprocess.run([*curl, *options, f"{scheme}://{name}{path}"], capture_output=True, text=True, check=False)
    body, _, status = said.stdout.rpartition("\n")
    return int(status), body


def deploy_hello(server: Server, repository: str) -> None:
    server.must("slipway", "apps", "create", "hello", "--repo", repository)
    server.must("slipway", "deploy", "hello", "--wait")


def left(server: Server) -> set[str]:
    """Files and folders of Slipway's, the topmost only; and what it did to Debian's nginx."""
    places = "/ /tmp /var/tmp /run /dev/shm"  # file systems of their own, where they are
    pruned = " -o ".join(f"-path {place}" for place in ("/proc", "/sys", "/checkout", "/usr/share"))
    search = f"find {places} -xdev \\( {pruned} \\) -prune -o -iname '*slipway*' -print"
    paths = sorted(set(server.must("bash", "-c", search).split()))
    found = {path for path in paths if not any(path.startswith(f"{other}/") for other in paths)}
    if server.run("systemctl", "is-enabled", "nginx.service").stdout.strip() == "masked":
        found.add("nginx.service is masked")
    return found


def agrees(server: Server, seconds: float = 60) -> None:
    """Every app's last healthy release serves; database, units, nginx and routes agree; no unit, port, process, user,
    file or secret is left over; every deployment has ended. How long that took since `does` is recorded."""
    began, found, seconds = time.monotonic(), ["nothing was looked at"], seconds * server.slowness
    while found:
        if time.monotonic() - began > seconds:
            raise AssertionError(f"after {seconds:g} s:\n" + "\n".join(found))
        found = wrong(server)
    server.story.has_settled()


def wrong(server: Server) -> list[str]:
    try:
        left = leftovers(OnServer(server.files(), 443, server))
        return [*_apps(server), *_failed_units(server), *_doctor(server), *left]
    except (AssertionError, LookupError, OSError) as error:  # it does not answer so far
        return [str(error)]


def _apps(server: Server) -> list[str]:
    found = []
    for app in server.json("apps", "list"):
        live = next((one["name"] for one in server.json("releases", app["name"]) if one["live"]), None)
        status, said = ask(server, f"{app['name']}.{server.base}", "/whoami")
        if live and status != 200:
            found.append(f"{app['name']} answers with {status}: {said}")
        elif live and said.startswith("{") and (serves := json.loads(said)["release"]) != live:
            found.append(f"{app['name']}'s {serves} answers, and {live} is live")
    return found


def _failed_units(server: Server) -> list[str]:
    listed = server.must("systemctl", "list-units", "--failed", "--plain", "--no-legend", "slipway-*")
    return [f"{line.split()[0]} has failed" for line in listed.splitlines()]


def _doctor(server: Server) -> list[str]:
    said = server.run("slipway", "doctor")
    return [] if said.returncode == 0 else [said.stdout]
