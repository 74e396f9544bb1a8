"""Disks that are full, and logs that are rotated: what goes on, and that all goes on once there is room."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server


def on_a_small_disk(server: Server, folder: str, options: str) -> None:
    """Move what lies in a folder to a file system of its own."""
    own = server.own_id()
    server.must("systemctl", "stop", f"slipway-{own}.target")
    script = (
        f"cp -a {folder} /root/moved && mount -t tmpfs -o {options} tmpfs {folder} && cp -a /root/moved/. {folder}/"
    )
    server.must("sh", "-ec", script)
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
