"""`slipway server uninstall`: what runs ends, and what is in the machine's own folders goes.

Slipway's folders and users are removed by install.sh, which can do so whatever else is there.
"""

import subprocess
from pathlib import Path

from slipway import settings as installed
from slipway.server.machine import Machine
from slipway.setup import journals


def uninstall() -> None:
    """Doing it again, or where an install was ended in the middle, removes what is there."""
    settings = installed.load()
    Machine(settings).end()
    journals.remove(settings)
    subprocess.run(["nft", "delete", "table", "inet", settings.firewall_table], capture_output=True, check=False)
    files = (Path("/etc/logrotate.d/slipway"), Path("/etc/tmpfiles.d/slipway.conf"), settings.paths.security_updates)
    for file in files:
        file.unlink(missing_ok=True)
