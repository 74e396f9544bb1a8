"""What detection has found: the plan before the build has run, with what only the build can settle left open."""

from dataclasses import dataclass, field

from slipway.plan import MAX_REASON_LENGTH, Plan, Stack, Step

HOW_TO_START = "set a start command (in Settings, or `slipway settings APP start_command='…'`)"
"""Ends a sentence about what is missing."""


@dataclass(frozen=True)
class Tools:
    """What this server has to build with. Paths are absolute; None is absent."""

    python: str | None
    uv: str | None
    node: str | None
    npm: str | None


@dataclass(frozen=True)
class Places:
    """Where a build lies. It is made where it runs: virtual environments and bundles hold absolute paths."""

    folder: str
    directory: str
    """The checkout, or the base directory in it: every command runs here."""
    cache: str
    """Outlives builds; nothing of a build may refer to it."""

    @property
    def venv(self) -> str:
        """Outside the checkout, so that it meets nothing of the user's."""
        return f"{self.folder}/venv"

    @property
    def tools(self) -> str:
        """Package managers other than npm. Part of the build, so that a start command can use them too."""
        return f"{self.folder}/tools"


@dataclass
class Findings:
    """Filled by one detector after the other. `reasons` are the sentences that the log begins with."""

    stack: Stack = "procfile"
    framework: str | None = None
    reasons: list[str] = field(default_factory=list)
    prepare: list[Step] = field(default_factory=list)
    """Makes the place to install into; runs whatever a person overrides."""
    install: list[Step] = field(default_factory=list)
    serve: list[Step] = field(default_factory=list)
    """Installs the server that the found start command needs, where the app does not bring one."""
    build: list[Step] = field(default_factory=list)
    processes: dict[str, str] = field(default_factory=dict)
    no_web: str | None = None
    """Why no web process was found, where a framework or language was: a sentence with what to add."""
    release_command: str | None = None
    public_folders: list[str] = field(default_factory=list)
    """Relative to the directory; after the build, the first that has an index.html is what is served."""
    paths: list[str] = field(default_factory=list)
    """Put before PATH."""
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        return (*self.prepare, *self.install, *self.serve, *self.build)

    @property
    def is_static(self) -> bool:
        return bool(self.public_folders) and "web" not in self.processes

    def runtime_variables(self) -> dict[str, str]:
        return {"PATH": ":".join([*self.paths, SYSTEM_PATH])} | self.variables

    def sentences(self) -> list[str]:
        """The reasons, fit for a log and a database: they repeat what stands in foreign files."""
        return [plain_text(reason)[:MAX_REASON_LENGTH] for reason in self.reasons]

    def plan(self, places: Places, public_folder: str | None) -> Plan:
        """The plan, once the build has shown what it puts out."""
        return Plan(
            stack=self.stack,
            framework=self.framework,
            reasons=tuple(self.sentences()),
            install=(*self.prepare, *self.install, *self.serve),
            build=tuple(self.build),
            processes=dict(self.processes),
            release_command=self.release_command,
            public_folder=public_folder,
            variables=self.runtime_variables(),
            directory=places.directory,
        )


def plain_text(text: str) -> str:
    """Text without control characters and half characters (lone surrogates, which JSON can smuggle in)."""
    whole = text.encode("utf-8", "replace").decode()
    return "".join(" " if ord(character) < 32 or ord(character) == 127 else character for character in whole)


SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
