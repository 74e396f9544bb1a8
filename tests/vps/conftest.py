"""Servers that tests may ask for: one that was installed by the one line, and fresh ones that go on from it."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.vps import authority, images
from tests.vps.network import Network
from tests.vps.servers import Server, booted

GIT = "git.example.test"
GIT_PORT = 8443


def why_not() -> str | None:
    """What keeps test servers from running on this machine."""
    if os.geteuid() != 0:
        return "test servers need root"
    missing = [program for program in ("debootstrap", "systemd-nspawn", "nft", "ip") if not shutil.which(program)]
    return f"{', '.join(missing)} must be installed" if missing else None


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

    def serve(self, server: Server) -> "subprocess.Popen[bytes]":
        """On the loopback address of a server's own network; the server trusts it."""
        certificate = [str(self.folder / name) for name in ("certificate.pem", "key.pem")]
        argv = [sys.executable, "-m", "tests.vps.git_server", str(self.folder), str(GIT_PORT), *certificate]
        enter = ["nsenter", f"--net={server.network.path}", "--"]
        process = subprocess.Popen([*enter, *argv], cwd=images.CHECKOUT)
        server.put("/usr/local/share/ca-certificates/tests.crt", (self.folder / "authority.pem").read_text())
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
        if (images.CHECKOUT / name).exists():
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


@pytest.fixture(scope="session", params=["debian-12"])
def installed(request: pytest.FixtureRequest, provider: Provider) -> Iterator[Installed]:
    if reason := why_not():
        pytest.skip(reason)
    network = Network()
    server = Server(request.param, network)
    try:
        server.boot()
        serving = provider.serve(server)
        try:
            line = f"curl -fsSL https://{GIT}:{GIT_PORT}/install.sh | SLIPWAY_REPO={provider.address('slipway')} bash"
            done = server.run("bash", "-c", line, timeout=900)
            assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        finally:
            serving.terminate()
            serving.wait()
        yield Installed(request.param, network, server.shut_down(), done.stdout)
    finally:
        server.end()
        network.give_back()


@pytest.fixture
def server(installed: Installed, provider: Provider) -> Iterator[Server]:
    """A server with Slipway on it, for one test, which may do anything to it."""
    with booted(installed.system, installed.network, installed.layer) as one:
        serving = provider.serve(one)
        try:
            one.until(lambda: one.run("slipway", "status").returncode == 0, "Slipway is well")
            yield one
        finally:
            serving.terminate()
            serving.wait()


@pytest.fixture
def hello(provider: Provider) -> str:
    """The address of the example's repository."""
    return provider.address("hello")
