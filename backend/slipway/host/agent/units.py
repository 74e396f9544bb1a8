"""What stands in a unit: pure functions from facts to text. The templates hold the words and the reasons."""

from pathlib import Path

import msgspec

from slipway.host.agent.names import Names
from slipway.host.agent.templates import Templates, Words
from slipway.host.protocol import Instance, Limits
from slipway.host.written import sign
from slipway.settings import WORK_LOG_LINES, WORK_LOG_SECONDS, Journal, Mode, Settings


class Account(msgspec.Struct, frozen=True):
    """Whom a unit runs as; empty where users cannot be switched."""

    user: str = ""
    group: str = ""


class Work(msgspec.Struct, frozen=True):
    """One fetch, build or release command."""

    unit: str
    title: str
    identifier: str
    account: Account
    slice: str
    command: tuple[str, ...]
    """Program and arguments; each passes the templates' allow-list, which has no spaces."""
    limits: Limits
    seconds: int
    umask: str
    readable: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()


class Units:
    def __init__(self, settings: Settings, templates: Templates) -> None:
        self._settings = settings
        self._templates = templates
        self.names = Names(settings.id)
        paths = settings.paths
        host = paths.current / "backend/slipway/host"
        self.launcher = host / "launcher.py"
        self.python = paths.current / "venv/bin/python"
        self.marks = paths.run / "marks"
        self.back_offs = paths.run / "back-off"
        self._common: dict[str, object] = {
            "isolated": settings.switches_users,
            "as_root": "+" if settings.switches_users else "",
            "reporter": host / "exit_reporter.py",
            "first_port": settings.apps.first_port,
            "last_port": settings.apps.last_port,
            "exits": paths.exits,
            "marks": self.marks,
            "back_offs": self.back_offs,
            "srv": paths.srv,
            "run": paths.run,
            "var": paths.var,
            "cache": paths.cache,
            "etc": paths.etc,
            "log": paths.log,
            "apps_journal": settings.namespace(Journal.APPS),
            "builds_journal": settings.namespace(Journal.BUILDS),
            "log_seconds": settings.logs.seconds,
            "log_lines": settings.logs.lines,
            "work_log_seconds": WORK_LOG_SECONDS,
            "work_log_lines": WORK_LOG_LINES,
        }

    def instance(
        self, instance: Instance, *, account: Account, build: int, port: int, limits: Limits, stop_seconds: int
    ) -> str:
        """The unit of one instance, signed. `port` is 0 for a process that listens on none."""
        paths = self._settings.paths
        unit = self.names.instance(instance)
        launch_file = self.launch_file(instance.environment, instance.release)
        text = self._templates.render(
            "instance.service.j2",
            **self._common,
            **_account(account),
            **_limits(limits),
            unit=unit,
            environment=instance.environment,
            release=instance.release,
            process=instance.process,
            rank=instance.rank,
            port=port,
            slice=self.names.environment_slice(instance.environment),
            launcher=self.launcher,
            launch_file=launch_file,
            back_off=self.back_offs / unit,
            stop_seconds=stop_seconds,
            readable=(paths.builds / str(build), launch_file),
            writable=(paths.data / str(instance.environment),),
        )
        return sign(text)

    def work(self, work: Work) -> str:
        return self._templates.render(
            "work.service.j2",
            **self._common,
            **_account(work.account),
            **_limits(work.limits),
            unit=work.unit,
            title=Words(*work.title.split()),
            identifier=work.identifier,
            slice=work.slice,
            command=Words(*work.command),
            seconds=work.seconds,
            port=0,
            umask=work.umask,
            readable=work.readable,
            writable=work.writable,
        )

    def removal(self, folder: Path, account: Account) -> str:
        return self._templates.render(
            "removal.service.j2",
            **self._common,
            **_account(account),
            folder=folder.name,
            path=folder,
            slice=self.names.builds_slice,
        )

    def measuring(self, account: Account, folders: tuple[Path, ...], output: Path, seconds: int) -> str:
        return self._templates.render(
            "measuring.service.j2",
            **self._common,
            **_account(account),
            folders=Words(*folders),
            output=output,
            seconds=seconds,
            slice=self.names.builds_slice,
        )

    def check(self, title: str, account: Account, command: tuple[str, ...], output: Path) -> str:
        """The unit that reads something from elsewhere; what it says goes into a file of root's."""
        return self._templates.render(
            "check.service.j2",
            **self._common,
            **_account(account),
            title=Words(*title.split()),
            command=Words(*command),
            output=output,
        )

    def launch_file(self, environment: int, release: int) -> Path:
        return self._settings.paths.launch / str(environment) / f"{release}.json"


def unit_folder(mode: Mode, runtime: Path) -> Path:
    """Where unit files of living things go. `runtime` is the session's XDG_RUNTIME_DIR."""
    match mode:
        case Mode.SERVER:
            return Path("/etc/systemd/system")
        case Mode.LOCAL:
            return Path("/etc/systemd/user")
        case Mode.SESSION:
            return runtime / "systemd/user"


def _account(account: Account) -> dict[str, str]:
    return {"user": account.user, "group": account.group}


def _limits(limits: Limits) -> dict[str, int]:
    return {"memory": limits.memory, "cpu": limits.cpu, "tasks": limits.tasks}
