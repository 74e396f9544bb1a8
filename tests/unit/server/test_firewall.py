"""The firewall's rules, read by nft itself, and carried out by the kernel in a network of their own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from slipway.host.agent import owners
from slipway.host.agent.state import Environment
from slipway.server import firewall
from slipway.settings import Apps, Http, Installation, Mode, Settings

SETTINGS = Settings(
    Installation("ab12", Mode.SERVER), Http(port=443), Apps(first_port=10000, places=3, first_uid=30000, uids=100)
)
ENVIRONMENTS = [Environment(7, 1, 30010, 30011), Environment(9, 2, 30012, 30013)]
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="nft asks the kernel, as root")
LISTEN_AND_ASK = """
import json, os, select, signal, socket, subprocess, sys

def listen(user, port):
    ready, listens = os.pipe()
    if (pid := os.fork()) != 0:
        assert os.read(ready, 1)
        return pid
    os.setresuid(user, user, user)
    # Hardly any room: from the second on that is not let through, the kernel answers by a SYN cookie.
    with socket.create_server(("127.0.0.1", port), backlog=0) as listening:
        os.write(listens, b".")
        while True:
            listening.accept()[0].sendall(b"mine")

def ask(port, patience):
    asking = [socket.socket() for _ in range(4)]
    for one in asking:
        one.setblocking(False)
        one.connect_ex(("127.0.0.1", port))
    answering = select.select(asking, [], [], patience)[0]
    return any(one.recv(9) == b"mine" for one in answering)

subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["nft", "--file", sys.argv[1]], check=True)
heard = []
for user, port, patience in json.loads(sys.argv[2]):
    pid = listen(user, port)
    heard.append(ask(port, patience))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
print(json.dumps(heard))
"""


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """With the files as they lie on a server."""
    monkeypatch.setattr(firewall, "ALLOWED", ("root", "nobody"))
    settings = msgspec.structs.replace(SETTINGS, prefix=str(tmp_path))
    settings.paths.agent.mkdir(parents=True)
    settings.paths.etc.mkdir(parents=True)
    settings.paths.firewall.write_text(firewall.rules(settings))
    settings.paths.owners.write_text(owners.text(settings, ENVIRONMENTS))
    return settings


def test_the_rules_are_about_apps_ports_and_nothing_else() -> None:
    text = firewall.rules(SETTINGS)
    assert text.count("port 10000-10071") == 3
    assert "policy drop" not in text, "what is not Slipway's is left as it is"


def test_all_ports_of_a_place_are_its_environments_run_users_and_no_build_users() -> None:
    text = owners.text(SETTINGS, [*ENVIRONMENTS, Environment(11, 4, 30014, 30015)])
    assert "10000-10023 . 30010,\n    10024-10047 . 30012,\n}" in text, "there is no fourth place"
    assert "add element" not in owners.text(SETTINGS, [])


def test_the_metadata_service_is_kept_from_apps_builds_and_fetches_unless_the_settings_allow_it() -> None:
    text = firewall.rules(SETTINGS)
    assert text.count("meta skuid { 30001, 30010-30099 } ip") == 4
    assert "169.254.0.0/16" in text
    allowing = msgspec.structs.replace(SETTINGS, apps=msgspec.structs.replace(SETTINGS.apps, cloud_metadata=True))
    assert "169.254" not in firewall.rules(allowing)


@as_root
def test_nft_takes_them_twice_over_with_whose_port_is_whose_and_without(written: Settings) -> None:
    paths = written.paths
    for file in (paths.owners, paths.owners, paths.firewall):
        argv = ["unshare", "--net", "nft", "--check", "--file", str(file)]
        read = subprocess.run(argv, capture_output=True, text=True, check=False)
        assert read.returncode == 0, read.stderr


@as_root
def test_who_listens_on_anothers_port_or_on_nobodys_never_has_a_connection(written: Settings) -> None:
    tried = {
        "the owner": (30010, 10000, 60),
        "the owner, on its last port": (30010, 10023, 60),
        "another app": (30010, 10024, 3),
        "its build": (30011, 10000, 3),
        "an app, where nobody has the place": (30010, 10048, 3),
        "root": (0, 10024, 60),
        "an app, elsewhere": (30010, 10072, 60),
    }
    argv = ["unshare", "--net", sys.executable, "-c", LISTEN_AND_ASK, str(written.paths.owners)]
    done = subprocess.run([*argv, json.dumps(list(tried.values()))], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    heard = dict(zip(tried, json.loads(done.stdout), strict=True))
    assert [who for who, was_heard in heard.items() if was_heard] == [
        "the owner", "the owner, on its last port", "root", "an app, elsewhere",
    ]  # fmt: skip
