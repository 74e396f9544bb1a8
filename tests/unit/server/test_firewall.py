"""The firewall's rules, read by nft itself."""

import os
import subprocess

import msgspec
import pytest

from slipway.server import firewall
from slipway.settings import Apps, Http, Installation, Mode, Settings

SETTINGS = Settings(
    Installation("ab12", Mode.SERVER), Http(port=443), Apps(first_port=10000, places=2, first_uid=30000, uids=100)
)


def test_the_rules_are_about_apps_ports_and_nothing_else() -> None:
    text = firewall.rules(SETTINGS)
    assert text.count("dport 10000-10047") == 2
    assert "policy drop" not in text, "what is not Slipway's is left as it is"


def test_the_metadata_service_is_kept_from_apps_builds_and_fetches_unless_the_settings_allow_it() -> None:
    text = firewall.rules(SETTINGS)
    assert text.count("meta skuid { 30001, 30010-30099 } ip") == 4
    assert "169.254.0.0/16" in text
    allowing = msgspec.structs.replace(SETTINGS, apps=msgspec.structs.replace(SETTINGS.apps, cloud_metadata=True))
    assert "169.254" not in firewall.rules(allowing)


@pytest.mark.skipif(os.geteuid() != 0, reason="nft asks the kernel, as root")
def test_nft_takes_them_twice_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(firewall, "ALLOWED", ("root", "nobody"))
    for _ in range(2):
        argv = ["unshare", "--net", "nft", "--check", "--file", "-"]
        read = subprocess.run(argv, input=firewall.rules(SETTINGS), capture_output=True, text=True, check=False)
        assert read.returncode == 0, read.stderr
