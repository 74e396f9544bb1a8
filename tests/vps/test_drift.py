"""What a person changed on a server by hand, and a reboot after it."""

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import Server

SITES = "/etc/slipway/nginx/sites"
OWNERS = "/var/lib/slipway/agent/owners.nft"
"""Whose port is whose, for the firewall."""


def test_broken_sites_keep_neither_the_panel_nor_the_apps_from_serving_after_a_reboot(
    server: Server, hello: str
) -> None:
    deploy_hello(server, hello)
    name = f"hello.{base_of(server)}"
    site = server.must("sh", "-c", f"echo {SITES}/[0-9]*.conf").strip()
    server.must("sed", "-i", "s/server_name/server_nam/", site)
    server.put(f"{SITES}/mine.conf", "this is no site {")
    server.put(f"{SITES}/4711.conf", "nor is this {")
    server.put(OWNERS, "and these are no rules {")
    server.reboot()
    server.until(lambda: ask(server, name)[0] == 200, "the app answers, as it did before")
    server.until(lambda: server.run("slipway", "status").returncode == 0, "Slipway is well")
    doctor = server.run("slipway", "doctor")
    assert doctor.returncode == 1
    for said in (site, f"{SITES}/mine.conf", f"{SITES}/4711.conf", 'unknown directive "server_nam"'):
        assert said in doctor.stdout, doctor.stdout
    server.must("slipway", "deploy", "hello", "--wait")
    for found in server.run("slipway", "doctor").stdout.split("slipway doctor --repair ")[1:]:
        server.run("slipway", "doctor", "--repair", found.split()[0])
    agrees(server)


def test_what_was_deleted_by_hand_is_there_again_after_a_reboot(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    own = server.own_id()
    server.must("sh", "-euc", f"rm {SITES}/*.conf /etc/systemd/system/slipway-{own}-e*.service; chmod 777 /srv/slipway")
    server.must("sh", "-euc", "rm /srv/slipway/live/*.* /etc/systemd/system/*-apps.target.wants/*-e*")
    server.must("rm", OWNERS)
    server.reboot()
    server.until(lambda: ask(server, f"hello.{base_of(server)}")[0] == 200, "the app answers")
    agrees(server)
    assert server.must("stat", "--format=%a", "/srv/slipway").strip() == "755"
