"""The folders of an installation: who owns each, and who may enter. `x` alone is for passing through without a list."""

import msgspec

_ROOT = "root"


class Folder(msgspec.Struct, frozen=True):
    """`path` is below an installation's root."""

    path: str
    mode: int
    owner: str = _ROOT
    group: str = _ROOT


FOLDERS = (
    Folder("etc/slipway", 0o755),
    Folder("etc/slipway/tls", 0o755),
    Folder("etc/slipway/tls/names", 0o700),
    Folder("etc/slipway/nginx", 0o755),
    Folder("etc/slipway/nginx/certificates", 0o755),
    Folder("etc/slipway/nginx/sites", 0o755),
    Folder("etc/slipway/nginx/staged", 0o755),
    Folder("etc/slipway/nginx/snippets", 0o755),
    Folder("var/lib/slipway", 0o755),
    # What certbot puts here is served to whoever asks; the folders above its own are root's.
    Folder("var/lib/slipway/acme", 0o755, owner="slipway-certbot", group="slipway-certbot"),
    Folder("var/lib/slipway/certbot", 0o711),
    Folder("var/lib/slipway/certbot/results", 0o700, owner="slipway-certbot", group="slipway-certbot"),
    Folder("var/lib/slipway/certbot/state", 0o700, owner="slipway-certbot", group="slipway-certbot"),
    Folder("var/lib/slipway/agent", 0o700),
    Folder("var/lib/slipway/agent/sites", 0o700),
    Folder("var/lib/slipway/mirrors", 0o750, owner="slipway-fetch", group="slipway-fetch"),
    Folder("var/lib/slipway/postgresql", 0o700, owner="slipway-postgres", group="slipway-postgres"),
    Folder("var/lib/slipway/trash", 0o711),
    Folder("var/lib/slipway/updates", 0o755, owner="slipway-updates"),
    Folder("srv/slipway", 0o755),
    Folder("srv/slipway/builds", 0o711),
    Folder("srv/slipway/data", 0o711),
    Folder("srv/slipway/launch", 0o711),
    Folder("srv/slipway/live", 0o755),
    Folder("srv/slipway/live/slots", 0o755),
    # One for each place that can be a file system of its own: nothing is renamed from one to another.
    Folder("srv/slipway/trash", 0o711),
    Folder("var/cache/slipway", 0o711),
    Folder("var/cache/slipway/builds", 0o711),
    Folder("var/cache/slipway/trash", 0o711),
    Folder("var/cache/slipway/updates", 0o700, owner="slipway-updates"),
    Folder("var/cache/slipway/nginx", 0o755),
    # nginx's master opens its logs as root: whoever could write here could make it write anywhere.
    # Its workers open the new ones when logs are rotated, so everybody may pass; the files are the group's to read.
    Folder("var/log/slipway", 0o2751, group="slipway"),
    Folder("run/slipway", 0o755),
    Folder("run/slipway/orders", 0o711),
    Folder("run/slipway/exits", 0o700),
    # Units of apps bind them: they must be there before the host agent is.
    Folder("run/slipway/marks", 0o700),
    Folder("run/slipway/back-off", 0o711),
    Folder("run/slipway/postgresql", 0o750, owner="slipway-postgres", group="slipway"),
)
"""Each after the one that it lies in."""
