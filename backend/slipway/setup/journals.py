"""A server's journals for what apps and builds say: journald's namespaces, each with a size of its own.

systemd starts a journald for each when the first unit of the namespace starts (systemd-journald.service(8), "Journal
Namespaces"). What is restarted keeps the streams that are open.
"""

import shutil
import subprocess
from pathlib import Path

from slipway.settings import Journal, Settings
from slipway.setup import files

_ETC = Path("/etc/systemd")

_CONFIGURATION = """\
# Written by Slipway; changes here are lost. The sizes are [logs] in /etc/slipway/slipway.toml.
[Journal]
Storage=persistent
# One file for all: with one for each user, a hundred apps would take a hundred times the least size of a file.
SplitMode=none
SystemMaxUse={disk}M
# Of what the disk has left, some stays free for others.
SystemKeepFree={keep_free}M
RuntimeMaxUse=16M
# One unit's lines beyond this are not kept, and it is said how many. Units may have rates of their own.
RateLimitIntervalSec={seconds}s
RateLimitBurst={lines}
ForwardToSyslog=no
ForwardToKMsg=no
ForwardToConsole=no
ForwardToWall=no
"""
_UNIT = """\
# Written by Slipway. An app that writes without end waits for this journal, and takes no more of the processor than:
[Service]
CPUAccounting=yes
CPUQuota=50%
CPUWeight=50
IOWeight=50
MemoryHigh=96M
"""


def units(settings: Settings) -> list[str]:
    """The services of those that there are."""
    return [f"systemd-journald@{name}.service" for journal in Journal if (name := settings.namespace(journal))]


def write(settings: Settings) -> None:
    """Write what they are made by; one that runs takes up what has changed."""
    for journal, disk in ((Journal.APPS, settings.logs.apps_disk), (Journal.BUILDS, settings.logs.builds_disk)):
        text = _CONFIGURATION.format(
            disk=disk,
            keep_free=settings.disk.reserve // 4,
            seconds=settings.logs.seconds,
            lines=settings.logs.lines,
        )
        name = settings.namespace(journal)
        changed = [_put(_configuration(name), text), _put(_folder(name) / "slipway.conf", _UNIT)]
        if any(changed):
            _systemctl("daemon-reload")
            _systemctl("try-restart", f"systemd-journald@{name}.service")


def remove(settings: Settings) -> None:
    """End them; what they kept stays. Nothing that writes to them may run any more."""
    for journal in Journal:
        name = settings.namespace(journal)
        # By name, sockets first: a socket that is left would start its journald again.
        parts = ("socket", "service")
        units = [f"systemd-journald@{name}.{part}" for part in parts]
        _systemctl("stop", f"systemd-journald-varlink@{name}.socket", *units)
        _systemctl("reset-failed", *units)
        _configuration(name).unlink(missing_ok=True)
        _remove_tree(_folder(name))
        _remove_tree(Path(f"/run/systemd/journal.{name}"))
    _systemctl("daemon-reload")


def _configuration(name: str) -> Path:
    return _ETC / f"journald@{name}.conf"


def _folder(name: str) -> Path:
    return _ETC / "system" / f"systemd-journald@{name}.service.d"


def _put(path: Path, text: str) -> bool:
    """→ whether it was not so already."""
    if path.exists() and path.read_text() == text:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    files.replace(path, text.encode(), mode=0o644)
    return True


def _remove_tree(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)


def _systemctl(*arguments: str) -> None:
    subprocess.run(["systemctl", *arguments], capture_output=True, check=False)
