"""`slipway server look-for-updates`: which updates the operating system has, found out without root.

apt keeps what it knows of the archives in folders of this user's own, so that the machine's are not touched, and
installing is only simulated (apt-get(8), --simulate).
"""

import os
import re
import subprocess
from pathlib import Path

import msgspec

from slipway import clock
from slipway import settings as installed
from slipway.setup import files
from slipway.system.operating_system import RESULT, Pending, Update

SECONDS = 600
_INSTALLED = re.compile(
    r"^Inst (?P<package>\S+) (?:\[(?P<installed>[^\]]*)\] )?\((?P<version>\S+) (?P<sources>[^()]*?)(?: \[\S+\])?\)"
)


def look_for_updates() -> None:
    """Writes what it finds for the daemon to read."""
    settings = installed.load()
    cache = settings.paths.cache / "updates"
    for folder in ("lists/partial", "archives/partial"):
        (cache / folder).mkdir(parents=True, exist_ok=True)
    refreshed = _apt(refresh_argv(cache))
    problem = None if refreshed.returncode == 0 else _last_line(refreshed.stderr)
    simulated = _apt(simulate_argv(cache))
    if simulated.returncode != 0:
        problem = _last_line(simulated.stderr)
    pending = Pending(clock.now(), parse(simulated.stdout), problem)
    files.replace(settings.paths.updates / RESULT, msgspec.json.encode(pending), mode=0o644)


def refresh_argv(cache: Path) -> list[str]:
    return ["apt-get", "--quiet", *_folders(cache), "update"]


def simulate_argv(cache: Path) -> list[str]:
    return ["apt-get", "--quiet", *_folders(cache), "--simulate", "dist-upgrade"]


def _folders(cache: Path) -> list[str]:
    options = {
        "Dir::State::Lists": cache / "lists",
        "Dir::Cache": cache,
        "Dir::Cache::Archives": cache / "archives",
        "APT::Sandbox::User": "",  # it is unprivileged already
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    return [f"--option={name}={value}" for name, value in options.items()]


def parse(text: str) -> list[Update]:
    """What a simulated upgrade would install: `Inst NAME [OLD] (NEW ARCHIVE:RELEASE/SUITE, … [ARCHITECTURE])`."""
    found = []
    for line in text.splitlines():
        match = _INSTALLED.match(line)
        if match is not None:
            security = "security" in match["sources"].lower()
            found.append(Update(match["package"], match["version"], match["installed"], security))
    return found


def _apt(argv: list[str]) -> "subprocess.CompletedProcess[str]":
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
    try:
        return subprocess.run(
            argv, env=environment | proxies, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
            timeout=SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(argv, 1, "", f"apt-get did not come to an end within {SECONDS} s")


def _last_line(text: str) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return lines[-1][:500] if lines else "apt-get failed and said nothing"
