"""What apt says that it would do, and how it is asked."""

from pathlib import Path

from slipway.server.updates import parse, refresh_argv, simulate_argv
from slipway.system.operating_system import Update

SAID = """\
NOTE: This is only a simulation!
      apt-get needs root privileges for real execution.
Reading package lists...
The following NEW packages will be installed:
  linux-image-6.1.0-41-amd64
Inst libssl3 [3.0.17-1~deb12u2] (3.0.17-1~deb12u3 Debian-Security:12/oldstable-security [amd64])
Inst tzdata [2025a-0] (2025b-0+deb12u2 Debian:12.12/oldstable, Debian:12-updates/oldstable-updates [all]) []
Inst linux-image-6.1.0-41-amd64 (6.1.158-1 Debian:12.12/oldstable [amd64])
Inst openssh-server [1:9.6p1-3] (1:9.6p1-3ubuntu13.5 Ubuntu:24.04/noble-updates, Ubuntu:24.04/noble-security [amd64])
Conf libssl3 (3.0.17-1~deb12u3 Debian-Security:12/oldstable-security [amd64])
"""
OPTIONS = [
    "--option=Dir::State::Lists=/c/lists",
    "--option=Dir::Cache=/c",
    "--option=Dir::Cache::Archives=/c/archives",
    "--option=APT::Sandbox::User=",
    "--option=Acquire::Languages=none",
    "--option=Debug::NoLocking=true",
]


def test_each_package_is_found_with_its_versions_and_whether_it_is_for_security() -> None:
    assert parse(SAID) == [
        Update("libssl3", "3.0.17-1~deb12u3", "3.0.17-1~deb12u2", security=True),
        Update("tzdata", "2025b-0+deb12u2", "2025a-0", security=False),
        Update("linux-image-6.1.0-41-amd64", "6.1.158-1", None, security=False),
        Update("openssh-server", "1:9.6p1-3ubuntu13.5", "1:9.6p1-3", security=True),
    ]


def test_where_nothing_waits_nothing_is_found() -> None:
    assert parse("0 upgraded, 0 newly installed, 0 to remove and 0 not upgraded.\n") == []


def test_apt_is_asked_with_folders_of_its_own_and_only_to_simulate() -> None:
    assert refresh_argv(Path("/c")) == ["apt-get", "--quiet", *OPTIONS, "update"]
    assert simulate_argv(Path("/c")) == ["apt-get", "--quiet", *OPTIONS, "--simulate", "dist-upgrade"]
