"""Session mode: an ordinary user's own `systemd --user`, here one that runs in a private world of its own."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.integration.conftest import CHECKOUT, free_port

from slipway.local.private_systemd import entering
from slipway.local.state import State
from slipway.local.up import begin
from slipway.local.world import Private

VISITOR = "visitor"
HOME = Path("/srv/slipway/visitor")
RUNTIME = Path("/run/visitor")
GIVEN = {
    "HOME": str(HOME),
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "XDG_RUNTIME_DIR": str(RUNTIME),
    "DBUS_SESSION_BUS_ADDRESS": f"unix:path={RUNTIME}/bus",
    # This environment's packages serve: making them anew would say nothing about session mode.
    "SLIPWAY_VENV": os.environ.get("SLIPWAY_VENV", str(CHECKOUT / ".venv")),
}


@pytest.fixture(scope="module")
def machine() -> Iterator[State]:
    """A machine on which somebody who is not root is logged in."""
    with tempfile.TemporaryDirectory(prefix="sd-", dir="/tmp") as folder:
        state = State(Path(folder))
        try:
            begin(state)
            log_in(state)
            yield state
        finally:
            Private(state).end()


def inside(state: State, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(entering(state, list(argv)), capture_output=True, text=True, check=False, timeout=300)


def log_in(state: State) -> None:
    inside(state, "useradd", "--no-log-init", "--uid=41001", "--create-home", f"--home-dir={HOME}", VISITOR)
    inside(state, "install", "--directory", f"--owner={VISITOR}", "--mode=0700", str(RUNTIME))
    environment = [f"--property=Environment={key}={value}" for key, value in GIVEN.items()]
    bus = "dbus-daemon --session --address=$DBUS_SESSION_BUS_ADDRESS --nofork --nopidfile"
    session = f"{bus} & exec /lib/systemd/systemd --user"
    options = ["--quiet", "--unit=session", f"--property=User={VISITOR}", "--property=Delegate=yes", *environment]
    started = inside(state, "systemd-run", "--user", *options, "sh", "-c", session)
    assert started.returncode == 0, started.stderr
    deadline = time.monotonic() + 10
    while as_visitor(state, "systemctl", "--user", "is-system-running").stdout.strip() not in ("running", "degraded"):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def as_visitor(state: State, *argv: str) -> "subprocess.CompletedProcess[str]":
    pairs = [f"{key}={value}" for key, value in GIVEN.items()]
    return inside(state, "runuser", "--user", VISITOR, "--", "env", "--ignore-environment", *pairs, *argv)


def test_an_ordinary_user_tries_it_and_stops_it(machine: State) -> None:
    port, own = free_port(), HOME / "try"
    options = ["--try", "--state", str(own), "--port", str(port)]
    tried = as_visitor(machine, str(CHECKOUT / "install.sh"), *options)
    assert tried.returncode == 0, tried.stdout + tried.stderr
    assert "with your user for everything" in tried.stdout
    ask = ["curl", "--silent", "--max-time", "5", f"http://127.0.0.1:{port}/", "--header", "Host: hello.localhost"]
    assert "<html" in as_visitor(machine, *ask).stdout.lower()

    assert as_visitor(machine, str(own / "bin/slipway"), "down").returncode == 0
    assert as_visitor(machine, *ask).returncode == 7
    left = as_visitor(machine, "systemctl", "--user", "list-units", "--all", "--plain", "--no-legend", "slipway-*")
    assert not [line for line in left.stdout.splitlines() if line.split()[2] in ("active", "activating", "failed")]
    assert "slipway" not in as_visitor(machine, "ls", str(RUNTIME / "systemd/user")).stdout
    assert "server.py" not in inside(machine, "ps", "-u", VISITOR, "-o", "args").stdout


def test_without_a_user_manager_it_says_what_is_needed(machine: State) -> None:
    alone = ["env", "XDG_RUNTIME_DIR=/nonexistent", f"PYTHONPATH={CHECKOUT / 'backend'}"]
    python = [str(CHECKOUT / ".venv/bin/python"), "-m", "slipway.local", "up", "--state", str(HOME / "no")]
    refused = as_visitor(machine, *alone, *python)
    assert refused.returncode == 1
    assert "needs root" in refused.stderr
    assert "no working `systemd --user`" in refused.stderr
