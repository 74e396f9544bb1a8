"""Everything that an installation's units need before they start: `python -m slipway.setup.provision UNITS`.

Run inside the installation's world, as its root (in session mode: as its one user). Doing it again mends what is
not so and changes nothing else. `UNITS` is the folder for unit files.
"""

import json
import pwd
import sys
from pathlib import Path

from slipway import settings as installed
from slipway.errors import SlipwayError
from slipway.settings import Mode, Settings
from slipway.setup import certificate, folders, journals, postgresql, templates, users


def provision(settings: Settings, units: Path) -> None:
    if settings.switches_users:
        users.ensure(settings.apps.first_uid)
    folders.ensure(settings)
    postgresql.ensure_cluster(settings)
    if settings.http.tls:
        certificate.ensure(settings)
    release = settings.paths.current
    rendered = templates.render_units(settings, release)
    own = _write_all(units, rendered) | _write_all(settings.paths.nginx, templates.render_nginx(settings, release))
    _remember(settings, own, tuple(rendered))
    on_server = settings.mode is Mode.SERVER
    rotation = Path("/etc/logrotate.d/slipway") if on_server else settings.paths.etc / "logrotate.conf"
    _write(rotation, templates.render_logrotate(settings, release))
    if on_server:  # elsewhere /run/slipway lies in the state folder
        _write(Path("/etc/tmpfiles.d/slipway.conf"), folders.after_boot())
        journals.write(settings)
    generation = settings.paths.nginx / "generation.conf"
    if not generation.exists():
        generation.write_text('return 200 "0\\n";\n')


def _write_all(folder: Path, files: dict[str, str]) -> dict[str, str]:
    """→ path → text."""
    for name, text in files.items():
        _write(folder / name, text)
    return {str(folder / name): text for name, text in files.items()}


def _remember(settings: Settings, own: dict[str, str], units: tuple[str, ...]) -> None:
    """By this the host agent sees what a person changed of them since."""
    settings.paths.own_files.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    numbers = {name: pwd.getpwnam(name).pw_uid for name in users.OWN_USERS} if settings.switches_users else {}
    _write(settings.paths.own_files, json.dumps({"files": own, "units": units, "users": numbers}))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.new")
    scratch.write_text(text)
    scratch.chmod(0o644)
    scratch.rename(path)


def main() -> int:
    try:
        provision(installed.load(), Path(sys.argv[1]))
    except SlipwayError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
