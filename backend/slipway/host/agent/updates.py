"""Whether the operating system installs security updates by itself: one file of Slipway's own among apt's settings.

Debian's unattended-upgrades does the work, from its own timer and by its own rules of what is let in (apt.conf(5),
/usr/share/doc/unattended-upgrades). Without the file, whatever else the machine's settings say holds.
"""

from pathlib import Path

from slipway.errors import HostRefused
from slipway.host.agent import files
from slipway.host.agent.box import Box
from slipway.host.protocol import Done, SetSecurityUpdates
from slipway.settings import Mode

PROGRAM = Path("/usr/bin/unattended-upgrade")


async def set_security_updates(box: Box, verb: SetSecurityUpdates) -> Done:
    if box.settings.mode is not Mode.SERVER:
        raise HostRefused(
            "This is not a server of Slipway's own: the operating system's updates are its owner's business.",
            reason="conflict",
        )
    if not verb.on:
        files.remove(box.paths.security_updates)
        return Done()
    if not PROGRAM.exists():
        raise HostRefused(
            "The package unattended-upgrades is not installed, which installs the updates. "
            "Install it (apt-get install unattended-upgrades), or run Slipway's installer again.",
            reason="conflict",
        )
    files.write(box.paths.security_updates, box.templates.render("apt.conf.j2"), mode=0o644)
    return Done()
