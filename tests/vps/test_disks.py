"""Disks and logs that are full, and apps that fill them: what goes on, and that all goes on once there is room."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.vps.conftest import Provider
from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server

TELLER = "i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.2; done"
FLOOD = """import os
line = b"%07d this app says more than anybody will ever read, and it does so all the time\\n"
block = b"".join(line % n for n in range(12000))
while True:
    os.write(1, block)
"""


def deploy_worker(server: Server, provider: Provider, folder: Path, name: str, files: dict[str, str]) -> None:
    """An app without a `web`."""
    folder.mkdir()
    for file, text in files.items():
        (folder / file).write_text(text)
    if not (provider.folder / name).exists():
        provider.publish(name, folder)
    server.must("slipway", "apps", "create", name, "--repo", provider.address(name))
    server.must("slipway", "deploy", name, "--wait")


def log_of(server: Server, name: str, lines: int = 300) -> str:
    return server.must("slipway", "logs", name, "-n", str(lines))


def last_tick(server: Server) -> int:
    found = re.findall(r"tick (\d+)", log_of(server, "teller"))
    return int(found[-1]) if found else 0


def on_a_small_disk(server: Server, folder: str, options: str) -> None:
    """Move what lies in a folder to a file system of its own."""
    own = server.own_id()
    # The units by their names: the target alone does not wait for them.
    server.must("systemctl", "stop", f"slipway-{own}.target", f"slipway-{own}-*")
    server.run("systemctl", "stop", f"systemd-journald@slipway-{own}-apps", f"systemd-journald@slipway-{own}-builds")
    script = (
        f"cp -a {folder} /root/moved && mount -t tmpfs -o {options} tmpfs {folder} && cp -a /root/moved/. {folder}/"
    )
    server.must("sh", "-ec", script)
    # Instances' links were made without systemd reading them; nothing is left that holds them in its memory.
    server.must("systemctl", "daemon-reload")
    server.must("systemctl", "start", f"slipway-{own}.target")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    server.until(lambda: serves(server), "the app is back")


@contextmanager
def filled(server: Server, folder: str) -> Iterator[None]:
    """While not one more byte has room there."""
    server.run("sh", "-c", f"cat /dev/zero >{folder}/filler 2>/dev/null; sync")
    try:
        yield
    finally:
        server.must("rm", f"{folder}/filler")


def serves(server: Server) -> bool:
    return ask(server, f"hello.{base_of(server)}")[0] == 200


def newest(server: Server) -> dict[str, str]:
    found: dict[str, str] = server.json("deployments", "hello")[0]
    return found


def test_an_app_that_says_more_than_anybody_reads_takes_no_more_than_its_share_and_others_are_still_heard(
    server: Server, hello: str, provider: Provider, tmp_path: Path
) -> None:
    # So few lines that a machine that is slow today meets the rate, too: journald's own share of it is half a core.
    change = "s/^apps_disk = .*/apps_disk = 64/; s/^lines = .*/lines = 1000/"
    server.must("sed", "-i", change, "/etc/slipway/slipway.toml")
    server.must("/opt/slipway/current/venv/bin/python", "-I", "-m", "slipway", "server", "install")
    deploy_hello(server, hello)
    deploy_worker(server, provider, tmp_path / "teller", "teller", {"Procfile": f"worker: {TELLER}\n"})
    server.story.does("an app writes 100 MB a second to its log")
    deploy_worker(
        server, provider, tmp_path / "flood", "flood", {"Procfile": "worker: python3 flood.py\n", "flood.py": FLOOD}
    )
    # Followed: of what comes after it there is more than a look at the end of the log shows.
    mark = "lines were not kept: more than 1,000 in 10 s"
    seen = server.run("sh", "-c", f"timeout 100 slipway logs flood -f | grep -m1 '{mark}'")
    assert mark in seen.stdout, "it is marked where lines are missing"
    journald = f"systemd-journald@slipway-{server.own_id()}-apps.service"
    used = [_processor_time(server, journald)]
    began, first = time.monotonic(), last_tick(server)
    server.until(lambda: last_tick(server) > first + 50, "the other app is heard")
    used.append(_processor_time(server, journald))
    share = (used[1] - used[0]) / (time.monotonic() - began)
    folder = server.must("sh", "-c", "du -sm /var/log/journal/*.slipway-*-apps").split()[0]
    server.story.notes(f"journald took {share:.0%} of a core, its journal {folder} of 64 MiB; another app lost no line")
    assert share < 0.75, "half a core is what it gets"
    assert int(folder) <= 64 + 16
    ticks = [int(tick) for tick in re.findall(r"tick (\d+)", log_of(server, "teller", 50))]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))), "not one of its lines is missing"
    assert serves(server)
    server.must("slipway", "apps", "delete", "flood", "--yes", "--wait")
    first = last_tick(server)
    server.must("systemctl", "restart", journald)
    server.until(lambda: last_tick(server) > first + 20, "the other app is heard after journald was started anew")
    ticks = [int(tick) for tick in re.findall(r"tick (\d+)", log_of(server, "teller", 50))]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))), "no line is missing where it was"
    server.must("slipway", "apps", "delete", "teller", "--yes", "--wait")
    agrees(server)


def _processor_time(server: Server, unit: str) -> float:
    """Seconds that its main process took (proc(5): fields 14 and 15, in hundredths)."""
    pid = server.must("systemctl", "show", "--property=MainPID", "--value", unit).strip()
    fields = server.must("cat", f"/proc/{pid}/stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def test_logs_are_rotated_without_losing_a_line(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    name = f"hello.{base_of(server)}"
    server.story.does("its logs are rotated twice while it is asked")
    for number in range(60):
        assert ask(server, name, f"/numbered-{number:03}")[0] in (200, 404)
        if number in (20, 40):
            server.must("logrotate", "--force", "/etc/logrotate.d/slipway")
    found = re.findall(r"/numbered-(\d{3})", server.must("sh", "-c", "zcat -f /var/log/slipway/access.log*"))
    assert sorted(found) == [f"{number:03}" for number in range(60)]
    assert "/numbered-059" in server.must("cat", "/var/log/slipway/access.log"), "nginx writes to the new one"
    modes = server.must("sh", "-c", "stat -c '%a %G' /var/log/slipway/access.log*").splitlines()
    assert set(modes) == {"640 slipway"}
    server.must("runuser", "-u", "slipway", "--", "head", "-c", "1", "/var/log/slipway/access.log")
    server.must("systemctl", "start", f"slipway-{server.own_id()}-rotate.service")
    agrees(server)


def test_a_build_that_fills_the_disk_ends_alone_and_one_that_has_no_room_does_not_begin(
    server: Server, hello: str
) -> None:
    deploy_hello(server, hello)
    on_a_small_disk(server, "/srv/slipway", "size=300M,mode=755")
    server.story.does("a build fills the disk; then it is full before one begins")
    server.must("slipway", "settings", "hello", "build_command=cat /dev/zero >large")
    server.until(lambda: newest(server)["state"] == "live", "the settings are released")
    assert server.run("slipway", "deploy", "hello", "--wait").returncode == 1
    assert newest(server)["state"] == "failed"
    server.story.notes(f"the build ended: {newest(server)['reason'].partition('.')[0]}")
    assert serves(server)
    server.must("slipway", "settings", "hello", "build_command=")
    server.until(lambda: newest(server)["state"] == "live", "the settings are released")
    with filled(server, "/srv/slipway/data"):
        assert server.run("slipway", "deploy", "hello", "--wait").returncode == 1
        assert "There is no room for another build: this server's disk has only 0 MiB free" in newest(server)["reason"]
        assert serves(server)
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


def test_a_disk_without_room_for_one_more_file_stops_builds_and_nothing_else(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    on_a_small_disk(server, "/srv/slipway", "size=300M,nr_inodes=3000,mode=755")
    server.story.does("a build makes files until there can be no more; then there can be none before one begins")
    server.must("slipway", "settings", "hello", "build_command=i=0; while touch $i; do i=$((i+1)); done; exit 1")
    server.until(lambda: newest(server)["state"] == "live", "the settings are released")
    assert server.run("slipway", "deploy", "hello", "--wait").returncode == 1
    assert serves(server)
    server.must("slipway", "settings", "hello", "build_command=")
    server.until(lambda: newest(server)["state"] == "live", "the settings are released")
    server.run("sh", "-c", "cd /srv/slipway/data && mkdir many && cd many && i=0; while touch $i; do i=$((i+1)); done")
    assert server.run("slipway", "deploy", "hello", "--wait").returncode == 1
    assert "room for only 0 more files" in newest(server)["reason"]
    assert serves(server)
    server.must("rm", "-r", "/srv/slipway/data/many")
    server.must("slipway", "deploy", "hello", "--wait")
    agrees(server)


def test_while_the_database_has_no_room_apps_go_on_and_it_comes_back_by_itself(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    on_a_small_disk(server, "/var/lib/slipway/postgresql", "size=200M,mode=700,uid=0")
    server.must("chown", "slipway-postgres:", "/var/lib/slipway/postgresql")
    own = server.own_id()
    server.story.does("the database's disk is full")
    with filled(server, "/var/lib/slipway/postgresql"):
        # Until there is no room for what it writes ahead either.
        psql = ["runuser", "-u", "slipway", "--", "psql", "-qh", "/run/slipway/postgresql", "-U", "slipway", "slipway"]
        flood = "CREATE TABLE filler AS SELECT repeat('x', 1000) FROM generate_series(1, 200000)"
        said = server.run(*psql, "-c", flood)
        assert said.returncode != 0
        assert serves(server)
        assert server.run("slipway", "deploy", "hello").returncode != 0 or newest(server)["state"] != "live"
        assert serves(server)
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well again")
    server.until(lambda: newest(server)["ended"] is True, "what was under way has ended")  # type: ignore[comparison-overlap]
    server.must("slipway", "deploy", "hello", "--wait")
    assert server.must("systemctl", "is-active", f"slipway-{own}-postgresql.service").strip() == "active"
    agrees(server)


def test_while_logs_have_no_room_apps_serve_and_are_heard_again_afterwards(
    server: Server, hello: str, provider: Provider, tmp_path: Path
) -> None:
    deploy_hello(server, hello)
    deploy_worker(server, provider, tmp_path / "teller", "teller", {"Procfile": f"worker: {TELLER}\n"})
    on_a_small_disk(server, "/var/log", "size=200M,mode=755")
    server.until(lambda: last_tick(server) > 0, "the app is heard")
    server.story.does("the logs' disk is full")
    with filled(server, "/var/log"):
        assert serves(server)
        assert server.run("slipway", "deploy", "hello", "--wait").returncode == 1
        assert "this server's disk has only 0 MiB free where logs lie" in newest(server)["reason"]
        assert serves(server)
    server.must("slipway", "deploy", "teller", "--wait")
    server.until(lambda: "v2" in log_of(server, "teller") and last_tick(server) > 0, "the app is heard again")
    assert ask(server, f"hello.{base_of(server)}", "/after-that")[0] in (200, 404)
    server.until(
        lambda: "/after-that" in server.must("cat", "/var/log/slipway/access.log"), "nginx writes its log again"
    )
    server.must("slipway", "apps", "delete", "teller", "--yes", "--wait")
    agrees(server)
