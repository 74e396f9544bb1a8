"""What `make test` looks at on a whole server, where the machine can boot one: it serves, is closed, and comes back."""

import re

from tests.vps.outside import agrees, ask, base_of, deploy_hello
from tests.vps.servers import PARTS, Server


def test_an_app_goes_live_and_is_there_again_after_a_reboot_without_the_daemon(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    name = f"hello.{base_of(server)}"
    assert ask(server, name)[0] == 200
    own = server.own_id()
    server.must("mv", f"/etc/systemd/system/slipway-{own}-daemon.service", "/root/daemon.service")
    server.reboot()
    server.does("reboot with the daemon disabled")
    server.until(lambda: ask(server, name)[0] == 200, "the app answers without the daemon")
    server.story.has_settled()
    server.story.notes("the app was up without it")
    server.must("mv", "/root/daemon.service", f"/etc/systemd/system/slipway-{own}-daemon.service")
    server.must("systemctl", "daemon-reload")
    server.must("systemctl", "start", f"slipway-{own}.target")
    server.until(lambda: ask(server, base_of(server), "/sign-in")[0] == 200, "the panel is back")


def test_an_apps_port_is_reached_by_nginx_and_slipway_only(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    port = re.search(r"127\.0\.0\.1:(1\d{4})", server.must("ss", "-ltn"))
    assert port is not None
    asked = ["curl", "-s", "--max-time", "5", "-o", "/dev/null", "-w", "%{http_code}", f"http://127.0.0.1:{port[1]}/"]
    server.must("useradd", "--system", "stranger")
    assert server.run("runuser", "-u", "stranger", "--", *asked).stdout == "000"
    assert server.run("runuser", "-u", "slipway", "--", *asked).stdout == "200"


def test_each_part_may_be_killed_while_it_builds(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.must("slipway", "settings", "hello", "build_command=sleep 10")
    server.must("slipway", "deploy", "hello")
    server.until(lambda: server.json("deployments", "hello")[0]["state"] == "building", "it builds")
    for part in PARTS:
        server.does(f"kill -9 of {part}")
        server.kill(part)
    agrees(server)
    assert server.json("deployments", "hello")[0]["state"] == "live"
    server.story.notes("the deployment went on, and is live")


def test_a_power_cut_in_the_middle_of_a_deployment_is_settled(server: Server, hello: str) -> None:
    deploy_hello(server, hello)
    server.must("slipway", "settings", "hello", "build_command=sleep 20")
    server.must("slipway", "deploy", "hello")
    server.until(lambda: server.json("deployments", "hello")[0]["state"] == "building", "it builds")
    server.does("power cut while it builds")
    server.cut_power()
    agrees(server)
