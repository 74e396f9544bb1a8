"""Slipway's own system users. Each does one thing, so that a fault in it reaches nothing else."""

import pwd
import subprocess

OWN_USERS = (
    "slipway", "slipway-fetch", "slipway-nginx", "slipway-postgres", "slipway-check", "slipway-certbot",
    "slipway-updates",
)  # fmt: skip
"""The daemon; git over the network; nginx's workers; the database; what checks things from elsewhere; certbot; what
looks for the operating system's updates. In the order of their numbers."""


def ensure(first_uid: int) -> None:
    """Make those that are not there, numbered from `first_uid`. Users and groups of environments come after ten."""
    for offset, name in enumerate(OWN_USERS):
        if not _exists(name):
            subprocess.run(group_argv(name, first_uid + offset), check=True, capture_output=True)
            subprocess.run(user_argv(name, first_uid + offset), check=True, capture_output=True)


def _exists(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def group_argv(name: str, number: int) -> list[str]:
    return ["groupadd", "--system", "--force", "--gid", str(number), name]


def user_argv(name: str, number: int) -> list[str]:
    return [
        "useradd",
        "--system",
        "--no-log-init",  # it would write to the machine's own lastlog
        "--no-create-home",
        "--home-dir=/nonexistent",
        "--shell=/usr/sbin/nologin",
        f"--uid={number}",
        f"--gid={number}",
        name,
    ]
