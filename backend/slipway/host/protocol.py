"""What the daemon may ask of the host agent: about twenty typed verbs over a unix socket.

Verbs carry ids, numbers and validated values: never a unit's or site's text, nor a command line for root.
The agent validates everything again. One request a connection: a frame each way, a frame being a four-byte
big-endian length and that many bytes of JSON. `Watch` answers with frames until either side closes.

Ids are the database's, never used twice. A *generation* belongs to an environment and grows with each of its
deployments: the agent keeps the highest it has seen and refuses what comes with a lower one, so that a stale
daemon cannot act late.
"""

from enum import StrEnum
from typing import Annotated

import msgspec

from slipway.plan import BuildOverrides, Plan

MAX_FRAME = 12 * 1024 * 1024
"""Bytes: all variables that a process may have, though JSON writes a character as six, and what stands around them."""

Id = Annotated[int, msgspec.Meta(ge=1, le=2**53)]
Place = Annotated[int, msgspec.Meta(ge=1, le=1000)]
SlotNumber = Annotated[int, msgspec.Meta(ge=1, le=3)]
Generation = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
ReleaseNumber = Annotated[int, msgspec.Meta(ge=1, le=2**31)]
ProcessName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z][a-z0-9_-]{0,30}\Z")]
Rank = Annotated[int, msgspec.Meta(ge=0, le=63)]
Commit = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{40}\Z")]
Digest = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
"""SHA-256."""
Hostname = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?\Z")]
CommandLine = Annotated[str, msgspec.Meta(min_length=1, max_length=4096)]
Variables = dict[str, str]


class WorkKind(StrEnum):
    """What runs once and ends: in a unit of its own, named by kind and the id of its deployment or certificate."""

    FETCH = "fetch"
    BUILD = "build"
    RELEASE_COMMAND = "release"
    CERTIFICATE = "certificate"


class Limits(msgspec.Struct, frozen=True):
    """Of one unit. memory in MiB, cpu in percent of one core (0: no limit), tasks as a count."""

    memory: Annotated[int, msgspec.Meta(ge=16, le=2**20)] = 512
    cpu: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0
    tasks: Annotated[int, msgspec.Meta(ge=4, le=65536)] = 256


class Instance(msgspec.Struct, frozen=True, order=True):
    """Which instance: all that a unit's name holds. slot is 0 for processes that have no port."""

    environment: Id
    release: ReleaseNumber
    generation: Generation
    slot: Annotated[int, msgspec.Meta(ge=0, le=3)]
    process: ProcessName
    rank: Rank


# ---- verbs -----------------------------------------------------------------------------------------------------


class Verb(msgspec.Struct, frozen=True, tag_field="verb", forbid_unknown_fields=True):
    """The base of every request."""


class Status(Verb, frozen=True, tag="status"):
    """→ AgentStatus."""


class ReadKey(Verb, frozen=True, tag="read-key"):
    """→ Key. Where LoadCredential cannot serve, the daemon gets its encryption key here."""


class PrepareEnvironment(Verb, frozen=True, tag="prepare-environment"):
    """Make users, groups, folders and the slice of an environment, if they are not there. → EnvironmentUsers."""

    environment: Id
    place: Place


class RemoveEnvironment(Verb, frozen=True, tag="remove-environment"):
    """Stop everything of it; remove route, site, units, launcher files, builds, data, caches, users. → Done."""

    environment: Id
    place: Place


class RemoveMirror(Verb, frozen=True, tag="remove-mirror"):
    """Remove an app's mirror. → Done."""

    app: Id


class StartFetch(Verb, frozen=True, tag="start-fetch"):
    """Bring the app's mirror up to date and find the commit. Doing it again for the same id changes nothing. → Done.

    The commit wanted is `commit` (which must be reachable from a branch) or the tip of `branch`.
    """

    id: Id
    app: Id
    repository: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    branch: Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
    commit: Commit | None = None


class StartBuild(Verb, frozen=True, tag="start-build"):
    """Build a commit into builds/<build>. Doing it again for the same id changes nothing. → Done."""

    id: Id
    app: Id
    environment: Id
    build: Id
    commit: Commit
    base_directory: Annotated[str, msgspec.Meta(max_length=1024)]
    overrides: BuildOverrides
    variables: Variables
    limits: Limits
    seconds: Annotated[int, msgspec.Meta(ge=1, le=86400)]
    log_bytes: Annotated[int, msgspec.Meta(ge=1, le=2**40)]


class PutRelease(Verb, frozen=True, tag="put-release"):
    """Write the launcher file of a release. → Done."""

    environment: Id
    release: ReleaseNumber
    generation: Generation
    build: Id
    plan: Plan
    processes: dict[str, str]
    """Name → command line; the release command is among them as `release` where there is one."""
    variables: Variables


class StartReleaseCommand(Verb, frozen=True, tag="start-release-command"):
    """Run the `release` entry of a release's launcher file once. Again for the same id: changes nothing. → Done."""

    id: Id
    environment: Id
    release: ReleaseNumber
    generation: Generation
    build: Id
    limits: Limits
    seconds: Annotated[int, msgspec.Meta(ge=1, le=86400)]


class FindWork(Verb, frozen=True, tag="find-work"):
    """→ Work, of state `unknown` if there is no trace of it."""

    kind: WorkKind
    id: Id


class StopWork(Verb, frozen=True, tag="stop-work"):
    """End it and everything it started, and forget it. Nothing to do is fine. → Done."""

    kind: WorkKind
    id: Id


class StartInstances(Verb, frozen=True, tag="start-instances"):
    """Start ranks 0 to count-1 of a process; those that run are left alone. → Done.

    With a slot, the instance gets the port of (place, slot, rank). They start again by themselves when they end,
    with back-off, and at boot.
    """

    environment: Id
    place: Place
    generation: Generation
    """Fences."""
    release: ReleaseNumber
    release_generation: Generation
    """Of the deployment that started the release in its slot: in the names of its units."""
    slot: Annotated[int, msgspec.Meta(ge=0, le=3)]
    build: Id
    process: ProcessName
    count: Annotated[int, msgspec.Meta(ge=1, le=64)]
    limits: Limits
    stop_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)] = 10
    only_ready: bool = False
    """Their units are written and read, and nothing starts: a later one of these has less to wait for."""


class StopInstances(Verb, frozen=True, tag="stop-instances"):
    """Stop instances of an environment (SIGTERM, then SIGKILL of the whole cgroup) and remove their units. → Done.

    Answers when they are gone. `generation` fences; the other fields choose; None chooses all.
    """

    environment: Id
    generation: Generation
    release: ReleaseNumber | None = None
    release_generation: Generation | None = None
    process: ProcessName | None = None
    from_rank: Rank = 0
    """Ranks below it are kept: scaling down."""
    but_process: ProcessName | None = None
    but_release_generation: Generation | None = None
    """Every process but this one: a standby keeps `web` only."""


class Switch(Verb, frozen=True, tag="switch"):
    """Move the route by one rename. → Done; HostRefused if the route is not at `expected` (nor at `target` already).

    0 means no route. For a static site (`folder` given by build) the marker is a link to the build's public folder.
    """

    environment: Id
    place: Place
    expected: Annotated[int, msgspec.Meta(ge=0, le=3)]
    target: Annotated[int, msgspec.Meta(ge=0, le=3)]
    generation: Generation


class PutSlot(Verb, frozen=True, tag="put-slot"):
    """Say what a slot of a static site serves, before it is switched to. → Done."""

    environment: Id
    place: Place
    slot: SlotNumber
    generation: Generation
    build: Id
    public_folder: Annotated[str, msgspec.Meta(max_length=1024)]
    """Absolute, inside builds/<build>; checked again without following links out of it."""
    previous_build: Id | None = None
    previous_public_folder: Annotated[str, msgspec.Meta(max_length=1024)] | None = None


class PutSite(Verb, frozen=True, tag="put-site"):
    """Render the environment's site, test it, activate it and wait until nginx serves it. → Done.

    The same as it is already: nothing is reloaded. A site that nginx refuses is not installed (HostRefused).
    """

    environment: Id
    place: Place
    hostnames: Annotated[tuple[Hostname, ...], msgspec.Meta(min_length=1, max_length=100)]
    static: bool
    web_count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    """Instances of `web` that a slot's upstream names; all 8 ports may be named where that costs nothing."""


class RemoveSite(Verb, frozen=True, tag="remove-site"):
    """→ Done."""

    environment: Id


class DeleteBuild(Verb, frozen=True, tag="delete-build"):
    """Move builds/<build> to the trash and empty it as its owner. → Done."""

    environment: Id
    build: Id


class DeleteRelease(Verb, frozen=True, tag="delete-release"):
    """Remove a release's launcher file. → Done."""

    environment: Id
    release: ReleaseNumber


class MeasureDisk(Verb, frozen=True, tag="measure-disk"):
    """Sum what an environment, an app's mirror, or both take of the disk. → DiskUsage.

    HostRefused where that takes longer than two minutes.
    """

    environment: Id | None = None
    app: Id | None = None


class DeleteCache(Verb, frozen=True, tag="delete-cache"):
    """Empty an environment's cache of builds; HostRefused (`conflict`) while one of its builds runs. → Done."""

    environment: Id


class Inspect(Verb, frozen=True, tag="inspect"):
    """→ Box: what is really there, of one environment or all."""

    environment: Id | None = None


class Exits(Verb, frozen=True, tag="exits"):
    """→ ExitRecords that nobody has acknowledged yet, oldest first; those in `acknowledge` are forgotten first."""

    acknowledge: tuple[str, ...] = ()


class ReadUsage(Verb, frozen=True, tag="read-usage"):
    """→ Usage: what every environment that runs has used so far, of its slice's control group."""


class SetSecurityUpdates(Verb, frozen=True, tag="set-security-updates"):
    """Have the operating system install security updates by itself, or leave that to its own settings. → Done.

    On servers only: elsewhere the machine is somebody else's (HostRefused).
    """

    on: bool


class Watch(Verb, frozen=True, tag="watch"):
    """→ a stream of Changed, one frame each; at least one frame (`unit` empty) every 15 s."""


class ObtainCertificate(Verb, frozen=True, tag="obtain-certificate"):
    """Have certbot ask the authority of the settings for a hostname's certificate: work of kind `certificate`. → Done.

    Doing it again for the same id changes nothing until StopWork.
    """

    id: Id
    hostname: Hostname


class InstallCertificate(Verb, frozen=True, tag="install-certificate"):
    """Check what ended work left, and have nginx serve it for the hostname. → CertificateFacts.

    HostRefused where it is not a certificate of that name with its key, valid now: the one before stays.
    """

    id: Id
    hostname: Hostname
    replaces: Digest | None = None
    """What was installed before: of anything else that lies there, a copy is kept."""


class RemoveCertificate(Verb, frozen=True, tag="remove-certificate"):
    """Forget a hostname's certificate and key: the installation's own is served again. → Done."""

    hostname: Hostname
    keeps: bool = False
    """A copy: nobody knows who put it there."""


class WantedSlot(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to run in a slot. `counts` are instances of each process; of a slot that is not live, none must be."""

    number: SlotNumber
    release: ReleaseNumber
    generation: Generation
    build: Id
    live: bool
    counts: dict[ProcessName, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    limits: Limits
    stop_seconds: Annotated[int, msgspec.Meta(ge=1, le=3600)]
    public_folder: Annotated[str, msgspec.Meta(max_length=1024)] | None = None
    """Of a static site, as in PutSlot."""


class WantedEnvironment(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """All that is to be of an environment on this machine."""

    environment: Id
    place: Place
    generation: Generation
    route: Annotated[int, msgspec.Meta(ge=0, le=3)]
    hostnames: Annotated[tuple[Hostname, ...], msgspec.Meta(max_length=100)] = ()
    """None: no site."""
    web_count: Annotated[int, msgspec.Meta(ge=1, le=8)] = 1
    slots: Annotated[tuple[WantedSlot, ...], msgspec.Meta(max_length=3)] = ()
    releases: tuple[ReleaseNumber, ...] = ()
    """Those that have launcher files."""
    builds: tuple[Id, ...] = ()


class WantedCertificate(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hostname whose files of a certificate are accounted for."""

    hostname: Hostname
    is_there: bool = False
    """False: its files may be there or not, one is being obtained, say."""
    digest: Digest | None = None
    """As in CertificateFacts; None: not known."""


class Compare(Verb, frozen=True, tag="compare"):
    """Compare what should be with what is; changes nothing. → Drift."""

    environments: tuple[WantedEnvironment, ...]
    whole: bool = False
    """Also what belongs to no environment: Slipway's own files and folders, and what nobody accounts for."""
    others: tuple[Id, ...] = ()
    """Environments that there are too, and that are not looked at now."""
    certificates: tuple[WantedCertificate, ...] | None = None
    """All that there are; None: these are not looked at."""


class Mend(Verb, frozen=True, tag="mend"):
    """Put right of these what Slipway alone wrote, and what is in `asked`. → Drift: what was put right.

    What a person changed is put right only where `asked` names it (`where` of Drifted), and is kept aside. Stopping,
    starting and switching are the verbs' above. An environment with a newer generation is left alone.
    """

    environments: tuple[WantedEnvironment, ...]
    whole: bool = False
    others: tuple[Id, ...] = ()
    asked: tuple[Annotated[str, msgspec.Meta(max_length=4096)], ...] = ()


Request = (
    Status | ReadKey | PrepareEnvironment | RemoveEnvironment | RemoveMirror | StartFetch | StartBuild | PutRelease
    | StartReleaseCommand | FindWork | StopWork | StartInstances | StopInstances | Switch | PutSlot | PutSite
    | RemoveSite | DeleteBuild | DeleteRelease | MeasureDisk | DeleteCache | Inspect | Exits
    | Watch | ObtainCertificate | InstallCertificate | RemoveCertificate | ReadUsage | SetSecurityUpdates
    | Compare | Mend
)  # fmt: skip


# ---- answers ---------------------------------------------------------------------------------------------------


class Answer(msgspec.Struct, frozen=True, tag_field="answer"):
    """The base of every answer."""


class Done(Answer, frozen=True, tag="done"):
    """It is so."""


class Refused(Answer, frozen=True, tag="refused"):
    """It was not done. `code`: `invalid`, `stale`, `conflict`, `failed` or `unavailable`; the message is for people."""

    code: str
    message: str


class AgentStatus(Answer, frozen=True, tag="status"):
    version: str
    installation: str


class Key(Answer, frozen=True, tag="key"):
    key: bytes

    def __repr__(self) -> str:
        return "Key(…)"


class EnvironmentUsers(Answer, frozen=True, tag="environment-users"):
    run_uid: int
    build_uid: int


class WorkState(StrEnum):
    UNKNOWN = "unknown"
    RUNNING = "running"
    ENDED = "ended"


class Fetched(msgspec.Struct, frozen=True):
    commit: Commit
    subject: str
    author: str


class Work(Answer, frozen=True, tag="work"):
    """How a piece of work stands. `reason` is a sentence for people when it ended and is not ok."""

    state: WorkState
    ok: bool = False
    limit: str | None = None
    """The limit it met: `memory`, `tasks`, `time`, `log`, `disk`; `pressure`: it gave way to apps."""
    reason: str | None = None
    fetched: Fetched | None = None
    plan: Plan | None = None
    wait_seconds: int = 0
    """For how long it should not be tried again."""


class RunningInstance(msgspec.Struct, frozen=True):
    instance: Instance
    active: str
    """systemd's ActiveState: active, activating, deactivating, failed, inactive."""
    sub: str
    restarts: int
    main_pid: int

    @property
    def runs(self) -> bool:
        """Or is about to, by itself."""
        return self.active not in ("inactive", "failed")


class Route(msgspec.Struct, frozen=True):
    environment: Id
    place: Place
    slot: Annotated[int, msgspec.Meta(ge=0, le=3)]
    generation: Generation


class Box(Answer, frozen=True, tag="box"):
    instances: tuple[RunningInstance, ...]
    """Of the one environment that was asked for; of all of them, `Compare` tells what differs."""
    routes: tuple[Route, ...]
    sites: tuple[Id, ...]
    environments: tuple[Id, ...]
    """Environments that have users or folders here."""
    work: tuple[tuple[WorkKind, Id], ...]


class CertificateFacts(Answer, frozen=True, tag="certificate-facts"):
    """Of a certificate that nginx serves now. Times are in seconds since the epoch."""

    hostname: Hostname
    issuer: str
    serial: str
    not_before: float
    not_after: float
    digest: Digest
    """SHA-256 of the file with the chain and the key."""


class DiskUsage(Answer, frozen=True, tag="disk-usage"):
    """In bytes; 0 of what was not asked for, or is not there."""

    builds: tuple[tuple[Id, int], ...] = ()
    cache: int = 0
    data: int = 0
    mirror: int = 0


class ExitRecord(msgspec.Struct, frozen=True):
    """One end of one instance, asked for or not."""

    id: str
    instance: Instance
    at: float
    """Seconds since the epoch."""
    asked: bool
    exit_code: int | None
    signal: str | None
    out_of_memory: bool
    tasks_refused: bool
    unit: str
    """The unit's name, by which its last lines are found in the journal."""
    invocation: str


class ExitRecords(Answer, frozen=True, tag="exits"):
    records: tuple[ExitRecord, ...]


class EnvironmentUsage(msgspec.Struct, frozen=True, array_like=True):
    """Counters begin with the control group: `group` differs when that was made anew."""

    environment: Id
    group: str
    cpu_usec: int
    memory: int
    """Bytes now, without what is only a copy of files."""
    tasks: int
    read_bytes: int
    written_bytes: int
    oom_kills: int | None
    """None where the kernel does not count them for a whole environment (cgroup v1)."""


class Usage(Answer, frozen=True, tag="usage"):
    at: float
    """CLOCK_MONOTONIC, in seconds: the same for every process of the machine."""
    environments: tuple[EnvironmentUsage, ...]


class Changed(Answer, frozen=True, tag="changed"):
    """Something changed: ask. `unit` is a hint; `work` is set when work ended; `exit` on a new exit record."""

    unit: str = ""
    instance: Instance | None = None
    work: tuple[WorkKind, Id] | None = None
    exit: bool = False


class DriftKind(StrEnum):
    """How what is differs from what should be."""

    MISSING = "missing"
    STALE = "stale"
    """As another release of Slipway, another setting, or an earlier record had it."""
    CHANGED = "changed"
    """Not as Slipway wrote it: by a person, then."""
    OVERRIDE = "override"
    """A drop-in that nobody of Slipway put there."""
    FOREIGN = "foreign"
    """Something in a folder of Slipway's that is none of its own."""
    ACCESS = "access"
    """Owner, group or mode."""
    ROUTE = "route"
    STOPPED = "stopped"
    """Should run and does not."""
    ORPHAN = "orphan"
    """A unit or site that no release explains."""
    UNKNOWN = "unknown"
    """An environment that the database does not know."""
    AHEAD = "ahead"
    """The machine saw a newer generation than the database knows: an older database was put back."""
    REFUSED = "refused"
    """nginx does not take it."""


class Thing(StrEnum):
    """What differs."""

    UNIT = "unit"
    SITE = "site"
    LAUNCHER = "launcher"
    USER = "user"
    FOLDER = "folder"
    ROUTE = "route"
    SLOT = "slot"
    BUILD = "build"
    ENVIRONMENT = "environment"
    OWN = "own"
    """A unit or configuration file of Slipway itself."""
    SECRET = "secret"  # noqa: S105  a kind of file, not one
    """The encryption key, a certificate's key."""
    CERTIFICATE = "certificate"
    """Of a hostname: the pair, or what names it to nginx."""


class Drifted(msgspec.Struct, frozen=True):
    """One thing that is not as it should be."""

    kind: DriftKind
    thing: Thing
    where: str
    """A path, or the name of a unit or user."""
    environment: Id | None = None
    release: ReleaseNumber | None = None
    generation: Generation | None = None
    """Of `ahead`: the highest that was seen here."""
    detail: str = ""
    diff: str | None = None
    """From what Slipway wrote to what is there. Never of what holds secrets."""
    changed_at: float | None = None
    """Seconds since the epoch, where the file says it."""


class Drift(Answer, frozen=True, tag="drift"):
    entries: tuple[Drifted, ...]
    more: int = 0
    """How many there are beyond those."""


Response = (
    Done | Refused | AgentStatus | Key | EnvironmentUsers | Work | Box | CertificateFacts | DiskUsage | ExitRecords
    | Usage | Changed | Drift
)  # fmt: skip
