"""`slipway server uninstall`: everything that is Slipway's goes; data only where asked for."""

import grp
import pwd
import shutil
import subprocess
from pathlib import Path

from slipway import settings as installed
from slipway.server.machine import Machine
from slipway.settings import Settings
from slipway.setup import journals
from slipway.setup.users import OWN_USERS

PROGRAM_FOLDERS = ("run/slipway", "var/cache/slipway", "var/log/slipway", "opt/slipway")
DATA_FOLDERS = ("etc/slipway", "srv/slipway", "var/lib/slipway")
"""The key and settings, the apps' data, the database: with them, and without the rest, an install goes on."""


def uninstall(*, with_data: bool) -> None:
    """Stop everything and remove it. Without `with_data`, what an install needs to go on stays where it is."""
    settings = installed.load()
    Machine(settings).end()
    journals.remove(settings, with_data=with_data)
    subprocess.run(["nft", "delete", "table", "inet", settings.firewall_table], capture_output=True, check=False)
    files = (Path("/etc/logrotate.d/slipway"), Path("/etc/tmpfiles.d/slipway.conf"), settings.paths.security_updates)
    for file in files:
        file.unlink(missing_ok=True)
    for name in PROGRAM_FOLDERS + (DATA_FOLDERS if with_data else ()):
        shutil.rmtree(Path("/") / name, ignore_errors=True)
    if with_data:
        _remove_users(settings)
    Path("/usr/local/bin/slipway").unlink(missing_ok=True)


def _remove_users(settings: Settings) -> None:
    """Only after their files: a user's number may be given to somebody else. With the data they stay."""
    own = f"sl-{settings.id}-"
    for account in pwd.getpwall():
        if account.pw_name in OWN_USERS or account.pw_name.startswith(own):
            subprocess.run(["userdel", account.pw_name], capture_output=True, check=False)
    for group in grp.getgrall():
        if group.gr_name in OWN_USERS or group.gr_name.startswith(own):
            subprocess.run(["groupdel", group.gr_name], capture_output=True, check=False)
