"""Names that two installations on one machine could share carry the installation's id: units, slices, users.

A unit's name says all there is to know about what it runs, so that what runs can be read back from systemd alone.
"""

import re

from slipway.host.protocol import Instance, WorkKind

_INSTANCE = re.compile(
    r"slipway-(?P<installation>[a-z0-9]{4})-e(?P<environment>[1-9][0-9]{0,15})-v(?P<release>[1-9][0-9]{0,9})"
    r"-g(?P<generation>[0-9]{1,16})-s(?P<slot>[0-3])-(?P<process>[a-z][a-z0-9_-]{0,30})\.(?P<rank>[0-9]{1,2})\.service"
)
_WORK = re.compile(
    r"slipway-(?P<installation>[a-z0-9]{4})-(?P<kind>fetch|build|release|certificate)-(?P<id>[1-9][0-9]{0,15})\.service"
)
_ENVIRONMENT_SLICE = re.compile(r"slipway-(?P<installation>[a-z0-9]{4})-apps-e(?P<environment>[1-9][0-9]{0,15})\.slice")


class Names:
    """The names of one installation."""

    def __init__(self, installation: str) -> None:
        self.installation = installation
        self.prefix = f"slipway-{installation}"
        self.nginx = f"{self.prefix}-nginx.service"
        self.firewall = f"{self.prefix}-firewall.service"
        self.apps_target = f"{self.prefix}-apps.target"
        self.apps_slice = f"{self.prefix}-apps.slice"
        self.builds_slice = f"{self.prefix}-builds.slice"

    def instance(self, instance: Instance) -> str:
        return (
            f"{self.prefix}-e{instance.environment}-v{instance.release}-g{instance.generation}-s{instance.slot}"
            f"-{instance.process}.{instance.rank}.service"
        )

    def find_instance(self, unit: str) -> Instance | None:
        """The instance that a unit of this installation runs, or None for every other unit."""
        match = _INSTANCE.fullmatch(unit)
        if match is None or match["installation"] != self.installation:
            return None
        return Instance(
            environment=int(match["environment"]),
            release=int(match["release"]),
            generation=int(match["generation"]),
            slot=int(match["slot"]),
            process=match["process"],
            rank=int(match["rank"]),
        )

    def work(self, kind: WorkKind, number: int) -> str:
        return f"{self.prefix}-{kind.value}-{number}.service"

    def find_work(self, unit: str) -> tuple[WorkKind, int] | None:
        match = _WORK.fullmatch(unit)
        if match is None or match["installation"] != self.installation:
            return None
        return WorkKind(match["kind"]), int(match["id"])

    def removal(self, folder: str) -> str:
        return f"{self.prefix}-removal-{folder}.service"

    def measuring(self, number: int) -> str:
        return f"{self.prefix}-measuring-{number}.service"

    def site_check(self, environment: int, number: int) -> str:
        return f"{self.prefix}-check-{environment}-{number}.service"

    def pair_check(self, number: int) -> str:
        return f"{self.prefix}-check-certificate-{number}.service"

    def environment_slice(self, environment: int) -> str:
        return f"{self.prefix}-apps-e{environment}.slice"

    def find_environment(self, slice_name: str) -> int | None:
        """The environment that a slice belongs to, or None for every other one."""
        match = _ENVIRONMENT_SLICE.fullmatch(slice_name)
        if match is None or match["installation"] != self.installation:
            return None
        return int(match["environment"])

    def run_user(self, environment: int) -> str:
        return f"sl-{self.installation}-r{environment}"

    def build_user(self, environment: int) -> str:
        return f"sl-{self.installation}-b{environment}"
