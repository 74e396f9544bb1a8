"""What an installation is: read once from `/etc/slipway/slipway.toml`, typed, failing loudly.

The same file is read by the daemon (`slipway serve`), the host agent (`slipway host`) and the command line.
It holds no secret.
"""

import os
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec

from slipway.errors import Invalid

SLOTS = (1, 2, 3)
RANKS = 8
"""Instances of `web` that one slot has ports for."""
PORTS_PER_PLACE = len(SLOTS) * RANKS
WORK_LOG_LINES = 50_000
"""Of one fetch, build or release command in ten seconds that its journal keeps: as much as its log may have."""
WORK_LOG_SECONDS = 10
RESERVED_UIDS = 10
"""The first of the installation's user ids are Slipway's own system users'."""
LAST_PORT = 32767
"""Above it, Linux hands ports out to outgoing connections."""


class Mode(StrEnum):
    """Which systemd the installation stands on."""

    SERVER = "server"  # systemd is PID 1, users are switched
    LOCAL = "local"  # a private systemd in a mount namespace of its own, users are switched
    SESSION = "session"  # the login session's `systemd --user`: one user for all, no isolation


class Journal(StrEnum):
    """Which of an installation's own journals something is said in."""

    APPS = "apps"
    BUILDS = "builds"  # fetches and release commands too: what runs once


class Installation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    """Four characters [a-z0-9]: in every unit, slice and user name that two installations could share."""
    mode: Mode

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z0-9]{4}", self.id):
            raise ValueError("installation.id must be four characters a-z, 0-9")


class Http(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    port: int
    """The port that browsers use, for the panel and for apps."""
    address: str = "127.0.0.1"
    """Where nginx listens; `*` for every address of the machine."""
    ipv6: bool = False
    """On all IPv6 addresses too. On a machine without it nginx would not start."""
    tls: bool = False
    plain_port: int | None = None
    """With TLS: the port of plain HTTP, where browsers are sent on to HTTPS and certificate authorities look."""
    base_domain: str = "localhost"
    """Apps are at `<app>.<base_domain>`, other environments at `<app>--<environment>.<base_domain>`."""
    panel: str = "localhost"
    """The panel's own server name."""

    @property
    def reached_at(self) -> str:
        """An address of this machine itself on which nginx answers."""
        return "127.0.0.1" if self.address == "*" else self.address

    @property
    def listen_prefix(self) -> str:
        """What stands before a port in nginx's `listen`, for IPv4: an address, or nothing for all of them."""
        return "" if self.address == "*" else f"{self.address}:"


class Apps(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ranges that belong to this installation alone, so that several fit on one machine."""

    first_port: int = 10000
    places: int = 900
    first_uid: int = 30000
    uids: int = 29000
    cloud_metadata: bool = False
    """Whether apps and builds may ask the provider's metadata service, which gives the server's own rights away."""

    def __post_init__(self) -> None:
        if self.first_port < 1024 or self.last_port > LAST_PORT:
            raise ValueError(f"apps.first_port and apps.places must give ports from 1024 to {LAST_PORT}")

    @property
    def last_port(self) -> int:
        """The last port that an app can be given."""
        return self.first_port + self.places * PORTS_PER_PLACE - 1


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of one fetch and one build. Memory and disk in MiB, time in seconds, log in bytes."""

    repository_disk: int = 4096
    """What an app's copy of its repository may take."""
    checkout_disk: int = 8192
    """What the files of one commit may take: a few kilobytes in Git can be as many gigabytes of files."""
    build_memory: int = 2048
    build_tasks: int = 512
    build_seconds: int = 1800
    build_log_bytes: int = 10_000_000
    builds_at_once: int = 2


class History(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much of what is over is kept."""

    deployments: Annotated[int, msgspec.Meta(ge=20)] = 200
    """The newest of each environment that have ended; besides them, those that releases stand on which are kept."""
    events_days: Annotated[int, msgspec.Meta(ge=1, le=36500)] = 365


SYSTEMS_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"


class Certificates(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Of an authority that speaks ACME (RFC 8555), in place of the installation's own."""

    obtain: bool = True
    acme_server: Annotated[str, msgspec.Meta(pattern=r"\Ahttps://[A-Za-z0-9._:/-]{1,500}\Z")] = LETS_ENCRYPT
    """The address of the authority's directory."""
    email: Annotated[str, msgspec.Meta(pattern=r"\A([A-Za-z0-9._+-]{1,64}@[A-Za-z0-9.-]{1,189})?\Z")] = ""
    """Where the authority writes to; empty: nowhere."""
    trusted: Annotated[str, msgspec.Meta(pattern=r"\A/[A-Za-z0-9._/+-]{1,500}\Z")] = SYSTEMS_AUTHORITIES
    """A file with the authorities that are believed when the ACME server itself is asked."""
    retry_seconds: Annotated[int, msgspec.Meta(ge=1, le=86400)] = 300
    """After a first failure; twice as long after each further one, up to a day."""


class Metrics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often is looked at what environments and the box use, and how long that is kept in which detail."""

    every_seconds: Annotated[int, msgspec.Meta(ge=5, le=60)] = 15
    sampled_hours: Annotated[int, msgspec.Meta(ge=1, le=168)] = 6
    """Each look by itself."""
    minute_days: Annotated[int, msgspec.Meta(ge=1, le=90)] = 2
    quarter_days: Annotated[int, msgspec.Meta(ge=7, le=3650)] = 60
    """By the quarter of an hour."""

    def __post_init__(self) -> None:
        if 60 % self.every_seconds:
            raise ValueError("metrics.every_seconds must be a part of a minute: 5, 6, 10, 12, 15, 20, 30 or 60")


Mebibytes = Annotated[int, msgspec.Meta(ge=16, le=2**30)]


class Logs(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is kept of what apps and builds say, on a server; elsewhere the journal is one, with the machine's sizes."""

    apps_disk: Mebibytes = 512
    builds_disk: Mebibytes = 128
    lines: Annotated[int, msgspec.Meta(ge=100)] = 20_000
    """Of one instance in `seconds`; what is more is not kept, and its log says how many. (With much room left in its
    journal, journald keeps up to four times as many.)"""
    seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10


class Disk(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be taken of the disk. MiB."""

    reserve: Mebibytes = 1024
    """Stays free for the database, the logs and Slipway itself: no deployment begins that would take of it."""
    reserve_inodes: Annotated[int, msgspec.Meta(ge=0)] = 20_000
    app: Mebibytes = 20_480
    """What an app's builds, caches, data and copy of its repository may take together, unless it has its own budget."""
    build: Mebibytes = 256
    """What a first build is expected to take; of later ones the newest is taken for the measure."""
    cache_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 14
    """Caches of builds go this long after an environment's last deployment."""
    mirror_days: Annotated[int, msgspec.Meta(ge=1, le=3650)] = 60
    """Copies of repositories go this long after an app's last deployment."""


class Streams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many event streams may be open at once. A page that gets none asks now and then instead."""

    at_once: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 2500
    """All together. Each takes some 50 kB of the daemon's memory."""
    of_account: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 200
    of_address: Annotated[int, msgspec.Meta(ge=1, le=20_000)] = 500


class Reconciling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    every_seconds: Annotated[int, msgspec.Meta(ge=60, le=86400)] = 3600
    """How often everything on the machine is compared with the database, besides at the start and on signals."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    installation: Installation
    http: Http
    apps: Apps = Apps()
    limits: Limits = Limits()
    history: History = History()
    certificates: Certificates = Certificates()
    metrics: Metrics = Metrics()
    logs: Logs = Logs()
    disk: Disk = Disk()
    streams: Streams = Streams()
    reconciling: Reconciling = Reconciling()
    prefix: str = ""
    """Put before every path below. Empty but in session mode, where nothing can be mounted."""

    @property
    def paths(self) -> "Paths":
        return Paths(Path(self.prefix or "/"))

    @property
    def id(self) -> str:
        return self.installation.id

    @property
    def mode(self) -> Mode:
        return self.installation.mode

    @property
    def start_command(self) -> str:
        """What a person types to start all of it that is stopped; what runs is left alone."""
        return f"systemctl start slipway-{self.id}.target" if self.mode is Mode.SERVER else "./install.sh --try"

    @property
    def how_to_start(self) -> str:
        """The same in words."""
        where = "" if self.mode is Mode.SERVER else ", with the --state that it was made with,"
        return f"`{self.start_command}`{where} starts what is stopped."

    def how_to_know(self, part: str) -> str:
        """Where one of Slipway's own services says why it does not run. In local mode no short command does."""
        return f" Why it stopped: `journalctl -u slipway-{self.id}-{part}`." if self.mode is Mode.SERVER else ""

    @property
    def switches_users(self) -> bool:
        return self.mode is not Mode.SESSION

    @property
    def firewall_table(self) -> str:
        """nftables' own, on a server."""
        return f"slipway_{self.id}"

    def namespace(self, journal: Journal) -> str:
        """journald's namespace. Empty, the machine's one journal, where users' managers run apps: they have none."""
        return f"slipway-{self.id}-{journal.value}" if self.mode is Mode.SERVER else ""

    @property
    def panel_url(self) -> str:
        return self.url(self.http.panel)

    def url(self, hostname: str) -> str:
        """The address of a hostname of this installation, with its port where it is not the scheme's own."""
        scheme, default = ("https", 443) if self.http.tls else ("http", 80)
        port = "" if self.http.port == default else f":{self.http.port}"
        return f"{scheme}://{hostname}{port}"

    def app_hostname(self, app: str, environment: str) -> str:
        label = app if environment == "production" else f"{app}--{environment}"
        return f"{label}.{self.http.base_domain}"

    def port(self, place: int, slot: int, rank: int) -> int:
        """The loopback port of one instance of `web`."""
        if not 1 <= place <= self.apps.places or slot not in SLOTS or not 0 <= rank < RANKS:
            raise Invalid(f"there is no port for place {place}, slot {slot}, rank {rank}")
        return self.apps.first_port + (place - 1) * PORTS_PER_PLACE + (slot - 1) * RANKS + rank

    def ports(self, place: int) -> range:
        """All of a place."""
        first = self.port(place, SLOTS[0], 0)
        return range(first, first + PORTS_PER_PLACE)


class Paths(msgspec.Struct, frozen=True):
    """Where everything lies. Only `root` differs between installations."""

    root: Path

    @property
    def current(self) -> Path:
        return self.root / "opt/slipway/current"

    @property
    def etc(self) -> Path:
        return self.root / "etc/slipway"

    @property
    def key(self) -> Path:
        return self.etc / "key"

    @property
    def tls(self) -> Path:
        """certificate.pem and key.pem, shown where a name has none of its own."""
        return self.etc / "tls"

    @property
    def certificates(self) -> Path:
        """<hostname>.pem: chain and key of a hostname that has its own. Root's."""
        return self.tls / "names"

    @property
    def nginx(self) -> Path:
        """nginx.conf, snippets/, sites/ and certificates/, written by the host agent."""
        return self.etc / "nginx"

    @property
    def var(self) -> Path:
        return self.root / "var/lib/slipway"

    @property
    def mirrors(self) -> Path:
        """mirrors/<app id>: bare repositories, owned by the fetch user."""
        return self.var / "mirrors"

    @property
    def certbot(self) -> Path:
        """state/ and results/ of certbot's user."""
        return self.var / "certbot"

    @property
    def acme(self) -> Path:
        """What nginx serves where a certificate authority looks."""
        return self.var / "acme"

    @property
    def agent(self) -> Path:
        """The host agent's own state: generations, users given out. Root's."""
        return self.var / "agent"

    @property
    def srv(self) -> Path:
        return self.root / "srv/slipway"

    @property
    def builds(self) -> Path:
        return self.srv / "builds"

    @property
    def data(self) -> Path:
        return self.srv / "data"

    @property
    def live(self) -> Path:
        """Route markers: `<place>.<slot>` for apps, `<place>` (a symbolic link) for static sites."""
        return self.srv / "live"

    @property
    def launch(self) -> Path:
        """launch/<environment id>/<release id>.json: what the launcher reads; the only clear copy of variables."""
        return self.srv / "launch"

    @property
    def trash(self) -> Path:
        return self.srv / "trash"

    @property
    def cache(self) -> Path:
        return self.root / "var/cache/slipway"

    @property
    def log(self) -> Path:
        return self.root / "var/log/slipway"

    @property
    def run(self) -> Path:
        return self.root / "run/slipway"

    @property
    def host_socket(self) -> Path:
        return self.run / "host.sock"

    @property
    def web_socket(self) -> Path:
        """Where nginx reaches the daemon."""
        return self.run / "web.sock"

    @property
    def admin_socket(self) -> Path:
        """Where the command line reaches the daemon; whoever may open it is the operator."""
        return self.run / "admin.sock"

    @property
    def nginx_socket(self) -> Path:
        """Where Slipway asks nginx itself: the same sites, answers marked with the upstream that gave them."""
        return self.run / "nginx.sock"

    @property
    def nginx_sites(self) -> Path:
        """What nginx includes: a line for each site, written anew before each start and reload of nginx."""
        return self.run / "nginx-sites.conf"

    @property
    def nginx_left_out(self) -> Path:
        """Which sites nginx refused, and its words, as JSON."""
        return self.run / "nginx-left-out.json"

    @property
    def good_sites(self) -> Path:
        """Copies of sites as nginx served them."""
        return self.agent / "sites"

    @property
    def own_files(self) -> Path:
        """Slipway's own units and configuration as they were installed, to know what a person changed since."""
        return self.agent / "own.json"

    @property
    def firewall(self) -> Path:
        """The firewall's rules, written by the installer."""
        return self.etc / "firewall.nft"

    @property
    def owners(self) -> Path:
        """The same with whose port is whose, written by the host agent."""
        return self.agent / "owners.nft"

    @property
    def orders(self) -> Path:
        """orders/<unit>.json: what one fetch, build or release command is to do; read by its user only."""
        return self.run / "orders"

    @property
    def exits(self) -> Path:
        """exits/: one record per ended instance or piece of work, written by root's exit reporter."""
        return self.run / "exits"

    @property
    def updates(self) -> Path:
        """pending.json: the operating system's pending updates, as found last by a user of its own."""
        return self.var / "updates"

    @property
    def security_updates(self) -> Path:
        """Among apt's settings, written by the host agent; there while security updates are turned on here."""
        return self.root / "etc/apt/apt.conf.d/90slipway"

    @property
    def postgresql(self) -> Path:
        """The folder of PostgreSQL's socket."""
        return self.run / "postgresql"


def load(path: Path | None = None) -> Settings:
    """Read the settings. `$SLIPWAY_SETTINGS` names another file than `/etc/slipway/slipway.toml`.

    Raises Invalid, with the file's name and the field, when it cannot be read or does not fit.
    """
    path = path or Path(os.environ.get("SLIPWAY_SETTINGS", "/etc/slipway/slipway.toml"))
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Settings)
    except OSError as error:
        raise Invalid(
            f"cannot read Slipway's settings at {path}: {error.strerror}. Is Slipway installed here?"
        ) from error
    except msgspec.MsgspecError as error:
        raise Invalid(f"{path} does not fit: {error}") from error
