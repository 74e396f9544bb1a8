"""Runs the real builder on a real mirror as an unprivileged user, as the build unit does.

As root it becomes one of two users that every Debian has; otherwise all is done by whoever runs the tests.
"""

import atexit
import grp
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

import slipway
from slipway.plan import BuildOrder, BuildOverrides, Plan

_ME = pwd.getpwuid(os.geteuid()).pw_name
BUILD_USER, RUN_USER = ("nobody", "daemon") if os.geteuid() == 0 else (_ME, _ME)
GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]


@cache
def _python() -> str:
    """Python with Slipway in it, where every user may run it: a checkout below a home folder is copied."""
    here, code = Path(sys.prefix), Path(slipway.__file__).parents[1]
    if all(folder.stat().st_mode & 0o001 for folder in (here, *here.parents, code)):
        return sys.executable
    there = Path(tempfile.mkdtemp(prefix="slipway-python-"))
    there.chmod(0o755)
    atexit.register(shutil.rmtree, there)
    shutil.copytree(here, there / "venv", symlinks=True)
    shutil.copytree(code, there / "backend")
    for path_file in (there / "venv").glob("lib/python3.*/site-packages/slipway*.pth"):
        path_file.write_text(f"{there / 'backend'}\n")
    return str(there / "venv/bin" / Path(sys.executable).name)


@dataclass
class Built:
    """What one run of the builder left."""

    status: int
    log: str
    folder: Path
    result: dict[str, Any]

    @property
    def reason(self) -> str:
        return str(self.result["reason"])

    @property
    def plan(self) -> Plan:
        return msgspec.json.decode((self.folder / "plan.json").read_bytes(), type=Plan)


class Workshop:
    """A folder with mirrors, builds and a cache, laid out as the host agent does it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.cache = folder / "cache"
        self.cache.mkdir()
        shutil.chown(self.cache, BUILD_USER)
        self._next = 0

    def commit(self, source: Path) -> tuple[Path, str]:
        """Make a bare mirror with one commit of a folder's files. Gives the mirror and the commit."""
        work = self.folder / f"work-{self._count()}"
        shutil.copytree(
            source, work, symlinks=True, ignore=shutil.ignore_patterns("node_modules", "__pycache__", ".git")
        )
        subprocess.run([*GIT, "init", "--quiet", "--initial-branch=main", work], check=True)
        subprocess.run([*GIT, "add", "--all", "--force"], cwd=work, check=True)
        subprocess.run([*GIT, "commit", "--quiet", "--allow-empty", "--message=Test"], cwd=work, check=True)
        mirror = work.with_suffix(".git")
        subprocess.run([*GIT, "clone", "--quiet", "--bare", work, mirror], check=True)
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=mirror, check=True, capture_output=True, text=True)
        return mirror, commit.stdout.strip()

    def order(self, mirror: Path, commit: str, **fields: Any) -> Path:
        number = self._count()
        folder = self.folder / "builds" / str(number)
        folder.mkdir(parents=True)
        shutil.chown(folder, BUILD_USER, grp.getgrgid(pwd.getpwnam(RUN_USER).pw_gid).gr_name)
        folder.chmod(0o750)
        order = BuildOrder(
            build_id=number, mirror=str(mirror), commit=commit, folder=str(folder), cache=str(self.cache), **fields
        )
        path = self.folder / f"order-{number}.json"
        path.write_bytes(msgspec.json.encode(order))
        return path

    def start(self, order: Path) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [_python(), "-I", "-m", "slipway.builds.builder", str(order)],
            **_become(BUILD_USER), cwd="/", env={"PATH": "/usr/bin:/bin"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
        )  # fmt: skip

    def finish(self, order: Path, builder: "subprocess.Popen[str]") -> Built:
        log, _ = builder.communicate(timeout=500)
        folder = Path(json.loads(order.read_text())["folder"])
        return Built(builder.returncode, log, folder, json.loads((folder / "result.json").read_text()))

    def build(self, source: Path, overrides: BuildOverrides | None = None, **fields: Any) -> Built:
        order = self.order(*self.commit(source), overrides=overrides or BuildOverrides(), **fields)
        return self.finish(order, self.start(order))

    def build_files(self, files: Mapping[str, str], overrides: BuildOverrides | None = None, **fields: Any) -> Built:
        """Build a tree given as name → text."""
        source = self.folder / f"source-{self._count()}"
        source.mkdir()
        for name, text in files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        return self.build(source, overrides, **fields)

    def _count(self) -> int:
        self._next += 1
        return self._next


@contextmanager
def running(built: Built, variables: Mapping[str, str] | None = None, process: str = "web") -> Iterator[str]:
    """Run a process of a build as the run user, as the launcher does. Gives its address once it answers."""
    plan, port = built.plan, _free_port()
    child = subprocess.Popen(
        ["/bin/sh", "-c", plan.processes[process]],
        cwd=plan.directory, **_become(RUN_USER),
        env={"HOME": "/tmp", "LANG": "C.UTF-8", **plan.variables, **(variables or {}), "PORT": str(port)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_until_it_answers(address, child)
        yield address
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGTERM)
        child.communicate(timeout=15)


def get(address: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(address, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def _become(name: str) -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(name)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def run_as(name: str, argv: list[str]) -> int:
    return subprocess.run(argv, **_become(name), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode


def _wait_until_it_answers(address: str, child: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 40
    while time.monotonic() < deadline:
        if child.poll() is not None:
            said = child.stdout.read().decode(errors="replace") if child.stdout else ""
            raise AssertionError(f"the app ended with {child.returncode}:\n{said}")
        try:
            get(address)
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {address}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
