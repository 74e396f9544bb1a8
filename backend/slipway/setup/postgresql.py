"""The private PostgreSQL cluster: made once, reached over its unix socket only, by peer authentication."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from slipway.errors import Unavailable
from slipway.settings import Mode, Settings
from slipway.setup import memory

_PROGRAMS = Path("/usr/lib/postgresql")
"""Debian's: one folder for each major version."""

_SETTINGS = """\
# Written by Slipway at each start.
listen_addresses = ''
unix_socket_directories = '{sockets}'
shared_buffers = {shared_buffers}MB
max_connections = 40
dynamic_shared_memory_type = posix
jit = off
wal_level = minimal
max_wal_senders = 0
max_wal_size = 256MB
autovacuum_max_workers = 2
max_parallel_workers = 2
timezone = 'UTC'
log_timezone = 'UTC'
log_destination = 'stderr'
log_line_prefix = ''
log_min_messages = warning
"""

_ACCESS = """\
# The operating system's word for who asks is the only one taken.
local all all peer map=slipway
"""


def binaries(settings: Settings) -> Path:
    """The folder of PostgreSQL's programs: those that the cluster was made with, or the newest."""
    installed = sorted((path for path in _PROGRAMS.glob("*/bin") if (path / "initdb").exists()), key=_major)
    made = [cluster.name for cluster in (settings.paths.var / "postgresql").glob("[0-9]*")]
    if not made and installed:
        return installed[-1]
    for path in installed:
        if path.parent.name in made:
            return path
    wanted = f"postgresql-{made[0]}" if made else "postgresql"
    raise Unavailable(f"PostgreSQL is not installed. Install the package {wanted}, and try again.")


def shared_buffers(mode: Mode) -> int:
    """In MB. On a server a thirty-second of its memory, from 16 to 256; elsewhere the machine is somebody else's."""
    if mode is not Mode.SERVER:
        return 32
    return max(16, min(256, memory.total() // 32))


def _major(path: Path) -> int:
    return int(path.parent.name)


def ensure_cluster(settings: Settings) -> None:
    """Make the cluster with its role and database `slipway`, unless it is there, and write its settings."""
    programs = binaries(settings)
    cluster = settings.paths.var / "postgresql" / programs.parent.name
    if not cluster.exists():
        _make(settings, programs, cluster)
    _write(
        settings,
        cluster / "postgresql.conf",
        _SETTINGS.format(sockets=settings.paths.postgresql, shared_buffers=shared_buffers(settings.mode)),
    )
    _write(settings, cluster / "pg_hba.conf", _ACCESS)
    _write(settings, cluster / "pg_ident.conf", _names(settings))


def _make(settings: Settings, programs: Path, cluster: Path) -> None:
    """In a folder beside it, renamed when it is whole: a half-made cluster would never start."""
    scratch = cluster.with_name(f".{cluster.name}.new")
    shutil.rmtree(scratch, ignore_errors=True)
    options = ["--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--auth=peer", "--no-instructions"]
    _run(settings, [str(programs / "initdb"), f"--pgdata={scratch}", *options])
    # Single-user mode: no server, no socket, nobody else.
    single = [str(programs / "postgres"), "--single", "-D", str(scratch), "postgres"]
    _run(settings, single, stdin="CREATE ROLE slipway LOGIN;\nCREATE DATABASE slipway OWNER slipway;\n")
    scratch.rename(cluster)


def _names(settings: Settings) -> str:
    """Which user of the system may be which role of the database."""
    if not settings.switches_users:
        return f"slipway {pwd.getpwuid(os.getuid()).pw_name} slipway\n"
    return "slipway slipway slipway\nslipway root slipway\nslipway slipway-postgres postgres\nslipway root postgres\n"


def _run(settings: Settings, argv: list[str], *, stdin: str = "") -> None:
    user = "slipway-postgres" if settings.switches_users else None
    ended = subprocess.run(
        argv, input=stdin, user=user, group=user, extra_groups=[] if user else None, cwd="/", capture_output=True,
        text=True, check=False, env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
    )  # fmt: skip
    if ended.returncode != 0 or "ERROR:" in ended.stderr:
        raise Unavailable(f"PostgreSQL's {argv[0]} failed:\n{ended.stdout}{ended.stderr}".rstrip())


def _write(settings: Settings, path: Path, text: str) -> None:
    path.write_text(text)
    if settings.switches_users:
        shutil.chown(path, "slipway-postgres", "slipway-postgres")
    path.chmod(0o600)
