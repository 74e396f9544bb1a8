"""A second `install.sh`, of another release: it comes up whole, or the old one is there as before."""

import pytest

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server

SETTINGS = "backend/slipway/settings.py"
NEXT = "/root/next"
"""Another state of Slipway's code, as a checkout."""


@pytest.fixture
def upgradable(server: Server, hello: str) -> Server:
    deploy_hello(server, hello)
    server.must("sh", "-c", f"mkdir {NEXT} && cd /checkout && cp -a install.sh *.lock *.toml {NEXT}/")
    for part in ("backend", "ui", "templates", "systemd", "nginx", "logrotate", "migrations"):
        server.must("sh", "-c", f"tar -C /checkout -c --exclude=node_modules {part} | tar -x -C {NEXT}")
    # The number that comes next, so that nothing is missing before it.
    count = server.must("sh", "-c", f"ls {NEXT}/migrations | grep -c ^0").strip()
    added = f"{NEXT}/migrations/{int(count) + 1:04}_add_nothing.sql"
    server.put(added, "CREATE TABLE only_of_the_next_release ();\n")
    # A setting that the release before does not know.
    server.must("sed", "-i", 's/^    prefix: str = ""$/&\\n    only_of_the_next: int = 1/', f"{NEXT}/{SETTINGS}")
    server.must("grep", "-q", "only_of_the_next", f"{NEXT}/{SETTINGS}")
    return server


def upgrade(server: Server) -> tuple[int, str]:
    done = server.run("bash", "-c", f"cd / && {NEXT}/install.sh 2>&1", timeout=600)
    return done.returncode, done.stdout


def release(server: Server) -> str:
    return server.must("readlink", "/opt/slipway/current").strip()


def test_an_upgrade_with_a_migration_keeps_what_is_there(upgradable: Server) -> None:
    before = release(upgradable)
    code, said = upgrade(upgradable)
    assert code == 0, said
    now = release(upgradable)
    assert now != before
    assert f"Upgrading Slipway: {before.removeprefix('releases/')} → {now.removeprefix('releases/')}." in said
    assert "slipway_before_upgrade" not in databases(upgradable)
    upgradable.must("slipway", "deploy", "hello", "--wait")
    agrees(upgradable)


@pytest.mark.parametrize("broken", ["the migration", "the daemon"])
def test_an_upgrade_that_fails_leaves_the_old_release_running(upgradable: Server, broken: str) -> None:
    before = release(upgradable)
    if broken == "the migration":
        upgradable.must("sh", "-c", f"echo 'SELECT 1/0;' >>$(ls {NEXT}/migrations/0*_add_nothing.sql)")
    else:
        upgradable.must("sh", "-c", f"echo 'raise RuntimeError(\"canary\")' >>{NEXT}/backend/slipway/app.py")
    code, said = upgrade(upgradable)
    assert code != 0
    assert "the upgrade failed and was undone" in said
    assert ("division by zero" if broken == "the migration" else "canary") in said
    assert release(upgradable) == before
    assert "slipway_before_upgrade" not in databases(upgradable)
    assert ask(upgradable, base_of(upgradable), "/sign-in")[0] == 200
    upgradable.must("slipway", "deploy", "hello", "--wait")
    agrees(upgradable)


def databases(server: Server) -> str:
    return server.must("psql", "--host=/run/slipway/postgresql", "--username=postgres", "--list", "--tuples-only")
