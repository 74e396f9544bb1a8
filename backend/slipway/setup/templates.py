"""Slipway's own units and nginx configuration, rendered from the templates of the release that runs."""

import base64
import hashlib
import os
import resource
import shutil
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from slipway.errors import Unavailable
from slipway.settings import Mode, Settings
from slipway.setup import journals, memory, postgresql

_MOST_OPEN_FILES = 65536
_MOST_WORKERS = 4
_ONLY_ON_SERVERS = (
    "firewall.service.j2",
    "rotate.service.j2",
    "rotate.timer.j2",
    "updates.service.j2",
    "updates.timer.j2",
)
"""In local mode the machine is somebody else's."""


def render_units(settings: Settings, release: Path) -> dict[str, str]:
    """File name → text, of every unit."""
    templates = _templates(release / "systemd")
    values = _values(settings)
    units = {}
    for name in sorted(templates.list_templates(extensions=["j2"])):
        if name in _ONLY_ON_SERVERS and settings.mode is not Mode.SERVER:
            continue
        unit = name.removesuffix(".j2")
        own = f"slipway-{settings.id}.target" if unit == "slipway.target" else f"slipway-{settings.id}-{unit}"
        units[own] = templates.get_template(name).render(values)
    return units


def render_nginx(settings: Settings, release: Path) -> dict[str, str]:
    """Path below /etc/slipway/nginx → text."""
    templates = _templates(release / "nginx")
    values = _values(settings)
    unavailable = templates.get_template("unavailable.html.j2").render(values)
    values["unavailable_style"] = _digest_of_style(unavailable)
    files = {"nginx.conf": "nginx.conf.j2", "panel.conf": "panel.conf.j2", "snippets/proxy.conf": "proxy.conf.j2"}
    rendered = {path: templates.get_template(name).render(values) for path, name in files.items()}
    return rendered | {"unavailable.html": unavailable}


def _digest_of_style(page: str) -> str:
    """By which a Content-Security-Policy allows the page's own style, and no other."""
    style = page.partition("<style>")[2].partition("</style>")[0]
    return f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}"


def render_logrotate(settings: Settings, release: Path) -> str:
    return _templates(release / "logrotate").get_template("slipway.j2").render(_values(settings))


def _templates(folder: Path) -> Environment:
    return Environment(
        loader=FileSystemLoader(folder),
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701  not HTML; every value is Slipway's own
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _values(settings: Settings) -> dict[str, object]:
    binaries = postgresql.binaries(settings)
    paths, nginx = settings.paths, find_program("nginx", "nginx-light")
    return {
        "id": settings.id,
        "paths": settings.paths,
        "memory": memory.total(),
        "kept_back": kept_back(memory.total()),
        "swap": memory.swap(),
        "journals": " ".join(journals.units(settings)),
        "start": settings.start_command,
        "is_server": settings.mode is Mode.SERVER,
        "switches_users": settings.switches_users,
        "wanted_by": "multi-user.target" if settings.mode is Mode.SERVER else "default.target",
        "python": settings.paths.current / "venv/bin/python",
        "postgres": binaries / "postgres",
        "postgres_major": binaries.parent.name,
        "nginx": nginx,
        "written": " ".join(
            str(path)
            for path in (
                paths.current / "backend/slipway/host/written.py",
                nginx,
                paths.nginx / "nginx.conf",
                paths.nginx / "sites",
                paths.good_sites,
                paths.nginx_sites,
                paths.nginx_left_out,
            )
        ),
        "workers": min(os.cpu_count() or 1, _MOST_WORKERS),
        "open_files": min(_MOST_OPEN_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "address": settings.http.listen_prefix,
        "ipv6": settings.http.ipv6,
        "port": settings.http.port,
        "plain_port": settings.http.plain_port,
        "panel": settings.http.panel,
        "tls": settings.http.tls,
        "streams_of_address": settings.streams.of_address,
    }


def kept_back(total: int) -> int:
    """Of a server's memory, what apps and builds may never take: a fifth, from 200 to 1,024. In MB."""
    return max(200, min(1024, total // 5))


def find_program(name: str, package: str) -> str:
    found = shutil.which(name, path="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
    if found is None:
        raise Unavailable(f"{name} is not installed. Install the package {package}, and try again.")
    return found
