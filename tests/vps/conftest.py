"""Servers that tests may ask for: one that was installed by the one line, and fresh ones that go on from it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.integration.deployments.conftest import Make, makes
from tests.vps import authority, images, reliability
from tests.vps.boxes import OnServer
from tests.vps.images import CannotBoot
from tests.vps.network import Network
from tests.vps.reliability import Story
from tests.vps.servers import Container, Server, booted

GIT = "git.example.test"
GIT_PORT = 8443
TRUSTED = "/usr/local/share/ca-certificates/tests.crt"
SYSTEMS = os.environ.get("SYSTEMS", "debian-12").split()
"""`make vps` names more than one."""
PROGRAMS = ("debootstrap", "systemd-nspawn", "nft", "ip", "git")
STORY = pytest.StashKey[tuple[str, Story]]()
FAILED = pytest.StashKey[bool]()
ROW = "row of docs/reliability.md"
REGISTRIES = ("https://pypi.org/simple/pip/", "https://registry.npmjs.org/htmx.org")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--must-boot", action="store_true", help="a machine that cannot boot test servers is a failure")
    parser.addoption("--write-reliability", action="store_true", help="write docs/reliability.md from what is measured")


def must_be_possible(programs: tuple[str, ...] = PROGRAMS) -> None:
    """Raises CannotBoot with what keeps test servers from running on this machine."""
    if os.geteuid() != 0:
        raise CannotBoot("this needs root")
    missing = [program for program in programs if not shutil.which(program)]
    if missing:
        raise CannotBoot(f"{', '.join(missing)} must be installed (./install.sh --packages-for-test-servers)")


@dataclass(frozen=True)
class Provider:
    """Where servers get Slipway from, and apps their code: a folder that is served by Git over HTTPS."""

    folder: Path

    def address(self, name: str) -> str:
        return f"https://{GIT}:{GIT_PORT}/{name}"

    def publish(self, name: str, source: Path) -> Path:
        """A repository with what lies in a folder; → it."""
        repository = self.folder / name
        shutil.copytree(source, repository, ignore=shutil.ignore_patterns("__pycache__", "node_modules", ".*"))
        commit(repository)
        return repository

    def address_of(self, folder: Path) -> str:
        """Of a repository that lies elsewhere."""
        link = self.folder / f"{folder.parent.name}-{folder.name}"
        if not link.is_symlink():
            link.symlink_to(folder)
        return self.address(link.name)

    def serve(self, server: Server) -> "subprocess.Popen[bytes]":
        """On the loopback address of a server's own network; the server trusts it."""
        certificate = [str(self.folder / name) for name in ("certificate.pem", "key.pem")]
        argv = [sys.executable, "-m", "tests.vps.git_server", str(self.folder), str(GIT_PORT), *certificate]
        enter = ["nsenter", f"--net={server.network.path}", "--"]
        process = subprocess.Popen([*enter, *argv], cwd=images.CHECKOUT)
        trusted = (self.folder / "authority.pem").read_text()
        if server.run("cat", TRUSTED).stdout != trusted:
            server.put(TRUSTED, trusted)
            server.must("update-ca-certificates")
        server.must("sh", "-c", f"grep -q {GIT} /etc/hosts || echo 127.0.0.1 {GIT} >>/etc/hosts")
        server.must("sh", "-c", f"until curl -fs -o /dev/null https://{GIT}:{GIT_PORT}/install.sh; do sleep 0.1; done")
        return process


def commit(repository: Path) -> None:
    """Everything that lies in a folder, as the newest commit of `main`."""
    if not (repository / ".git").exists():
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository)], check=True)
    git = ["git", "-C", str(repository), "-c", "user.name=Test", "-c", "user.email=test@example.com"]
    subprocess.run([*git, "add", "--all"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=As it is now"], check=True)


@pytest.fixture(scope="session")
def provider() -> Iterator[Provider]:
    folder = Path(tempfile.mkdtemp(prefix="provider-", dir="/var/tmp"))
    one = Provider(folder)
    authority.make(folder, GIT)
    # The checkout as it is now, committed or not.
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=images.CHECKOUT, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    for name in filter(None, listed.split("\0")):
        if (images.CHECKOUT / name).is_file():
            target = folder / "slipway" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(images.CHECKOUT / name, target)
    commit(folder / "slipway")
    shutil.copy(images.CHECKOUT / "install.sh", folder / "install.sh")
    one.publish("hello", images.CHECKOUT / "examples/hello")
    yield one
    shutil.rmtree(folder)


@dataclass(frozen=True)
class Installed:
    """A server as the one line left it, switched off; what the line printed."""

    system: str
    network: Network
    """Its address is in the names that it answers to."""
    layer: Path
    said: str


@pytest.fixture(scope="session", params=SYSTEMS)
def installed(request: pytest.FixtureRequest, provider: Provider) -> Iterator[Installed]:
    network = server = None
    try:
        try:
            must_be_possible()
            network = Network()
            server = Container(request.param, network)
            server.boot()
            must_reach_registries(server)
        except (CannotBoot, OSError) as error:
            give_up(request.config, f"no {request.param} server can be booted here: {error}")
        with served(server, provider):
            line = f"curl -fsSL https://{GIT}:{GIT_PORT}/install.sh | SLIPWAY_REPO={provider.address('slipway')} bash"
            done = server.run("bash", "-c", line, timeout=900)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        yield Installed(request.param, network, server.shut_down(), done.stdout)
    finally:
        if server:
            server.end()
        if network:
            network.give_back()


def must_reach_registries(server: Server) -> None:
    """Raises CannotBoot where packages cannot be had from inside a server."""
    for address in (f"{images.SYSTEMS[server.system].mirror}/", *REGISTRIES):
        done = server.run("curl", "--silent", "--show-error", "--fail", "--max-time", "30", "-o", "/dev/null", address)
        if done.returncode != 0:
            raise CannotBoot(f"{address} cannot be reached from it: {done.stderr.strip()}")


def give_up(config: pytest.Config, reason: str) -> NoReturn:
    """Where servers were asked for that is a failure; else the summary says why nothing of this was tested."""
    if config.getoption("must_boot", default=False):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture
def server(request: pytest.FixtureRequest, installed: Installed, provider: Provider) -> Iterator[Server]:
    """A server with Slipway on it, for one test, which may do anything to it."""
    with ready(installed, provider) as one:
        request.node.stash[STORY] = (installed.system, one.story)
        yield one


@contextmanager
def ready(installed: Installed, provider: Provider) -> Iterator[Container]:
    """A server that goes on from the installed one."""
    with booted(installed.system, installed.network, installed.layer) as one, served(one, provider):
        one.until(lambda: one.run("slipway", "status").returncode == 0, "Slipway is well")
        yield one


@contextmanager
def served(server: Server, provider: Provider) -> Iterator[None]:
    """While it can fetch what was published."""
    serving = provider.serve(server)
    try:
        yield
    finally:
        serving.terminate()
        serving.wait()


@pytest.fixture(scope="module")
def box(installed: Installed, provider: Provider) -> Iterator[OnServer]:
    """A server for all tests of a module, as the box that the tests of deployments speak with."""
    with ready(installed, provider) as server:
        yield OnServer(server.root, 443, server, provider.address_of)


@pytest.fixture(scope="module")
def breakable(box: OnServer) -> OnServer:
    return box


@pytest.fixture
def make(box: OnServer, tmp_path: Path) -> Iterator[Make]:
    yield from makes(box, tmp_path)


@pytest.fixture(autouse=True)
def _story(request: pytest.FixtureRequest) -> None:
    """One for each test, where a module shares its server."""
    if "box" in request.fixturenames or "breakable" in request.fixturenames:
        server = request.getfixturevalue("box").server
        server.story = Story()
        request.node.stash[STORY] = (server.system, server.story)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = report.failed
    if report.when == "call" and (found := item.stash.get(STORY, None)):
        row = reliability.Row.of(item.name, *found, passed=report.passed)
        report.user_properties.append((ROW, astuple(row)))  # with it, to the process that reports
    return report


def pytest_configure(config: pytest.Config) -> None:
    # Not where a process only runs tests for another one.
    if config.getoption("write_reliability", default=False) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Writer())


class Writer:
    """Writes each row when it is told: a run that is ended in the middle has measured something, too."""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if rows := [reliability.Row(*value) for name, value in report.user_properties if name == ROW]:
            reliability.write(rows)


@pytest.fixture
def hello(provider: Provider) -> str:
    """The address of the example's repository."""
    return provider.address("hello")
