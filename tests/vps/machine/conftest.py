"""A machine of its own that tests share, until one of them fails: booting takes minutes where it is emulated."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.vps import machines
from tests.vps.conftest import FAILED, GIT_PORT, STORY, Installed, Provider, give_up, must_be_possible, served
from tests.vps.images import CannotBoot
from tests.vps.machines import Image, Machine
from tests.vps.outside import deploy_hello
from tests.vps.reliability import Story


@pytest.fixture(scope="package")
def image(request: pytest.FixtureRequest, installed: Installed) -> Iterator[Image]:
    with ExitStack() as stack:
        try:
            must_be_possible(machines.PROGRAMS)
            made = stack.enter_context(machines.image(installed.system, installed.network, installed.layer))
        except (CannotBoot, OSError) as error:
            give_up(request.config, f"no {installed.system} machine can be booted here: {error}")
        yield made


class Shared:
    """One that is up, with the example live on it; made anew when a test has failed, as that may have broken it."""

    def __init__(self, image: Image, provider: Provider) -> None:
        self._image, self._provider = image, provider
        self._machine: Machine | None = None
        self._ending = ExitStack()

    def get(self) -> Machine:
        if self._machine is None:
            machine = Machine(self._image, GIT_PORT)
            self._ending.callback(machine.end)
            machine.boot()
            self._ending.enter_context(served(machine, self._provider))
            machine.until(lambda: machine.run("slipway", "status").returncode == 0, "Slipway is well")
            deploy_hello(machine, self._provider.address("hello"))
            self._machine = machine
        return self._machine

    def end(self) -> None:
        self._machine = None
        self._ending.close()


@pytest.fixture(scope="package")
def shared(image: Image, provider: Provider) -> Iterator[Shared]:
    one = Shared(image, provider)
    try:
        yield one
    finally:
        one.end()


@pytest.fixture
def machine(request: pytest.FixtureRequest, shared: Shared) -> Iterator[Machine]:
    try:
        one = shared.get()
        one.story = Story()
        request.node.stash[STORY] = (f"{one.system}, whole machine", one.story)
        yield one
    finally:
        if request.node.stash.get(FAILED, True):
            shared.end()


def builds_by(machine: Machine, command: str) -> None:
    """From its next build on, the example is built by a command; that is released before this ends."""
    machine.must("slipway", "settings", "hello", f"build_command={command}")
    machine.until(lambda: all(one["ended"] for one in machine.json("deployments", "hello")), "that is released")
