"""The operating system's updates on a real Debian: seen without root, installed by itself where that is turned on."""

import json

from tests.vps.conftest import Installed
from tests.vps.servers import Server

ITS_OWN = ("apt-config", "dump", "APT::Periodic")


def test_what_waits_to_be_installed_is_seen_and_security_updates_can_be_turned_on_and_off(
    installed: Installed, server: Server
) -> None:
    own = server.own_id()
    assert server.must("systemctl", "is-active", f"slipway-{own}-updates.timer").strip() == "active"
    # An older version than the archive's is what an update is.
    release_of_before = "sed -i '/^Package: tzdata$/,/^Version:/ s/^Version:.*/Version: 2000a-0/' /var/lib/dpkg/status"
    server.must("sh", "-c", release_of_before)
    server.must("systemctl", "start", f"slipway-{own}-updates.service", timeout=600)
    found = server.json("system", "show")
    assert found["is_server"]
    assert found["pending"]["problem"] is None
    updates = {update["package"]: update for update in found["pending"]["updates"]}
    assert updates["tzdata"]["installed"] == "2000a-0"
    status = server.must("slipway", "status")
    assert "of the operating system" in status
    assert "reboot" not in status

    server.must("sh", "-c", "touch /run/reboot-required && echo linux-image-amd64 >/run/reboot-required.pkgs")
    assert "needs a reboot (linux-image-amd64)" in server.must("slipway", "status")
    assert server.json("status")["operating_system"]["reboot_needed"]

    assert found["security_updates"] == "off"
    assert '"1"' not in server.must(*ITS_OWN)
    server.must("slipway", "system", "security-updates", "on")
    assert 'APT::Periodic::Unattended-Upgrade "1";' in server.must(*ITS_OWN)
    assert 'APT::Periodic::Update-Package-Lists "1";' in server.must(*ITS_OWN)
    assert server.json("system", "show")["security_updates"] == "on"
    assert server.must("systemctl", "is-active", "apt-daily-upgrade.timer").strip() == "active"

    server.must("slipway", "system", "security-updates", "off")
    assert '"1"' not in server.must(*ITS_OWN)
    assert server.json("system", "show")["security_updates"] == "off"
    asked = ["curl", "-s", "--unix-socket", "/run/slipway/admin.sock", "http://localhost/api/events"]
    kinds = [event["kind"] for event in json.loads(server.must(*asked))["items"]]
    assert kinds[:2] == ["security-updates.disabled", "security-updates.enabled"]

    server.must("sh", "-c", "echo 'APT::Periodic::Unattended-Upgrade \"1\";' >/etc/apt/apt.conf.d/20auto-upgrades")
    assert server.json("system", "show")["security_updates"] == "by_machine"
