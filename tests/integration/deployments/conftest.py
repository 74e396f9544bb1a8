"""Apps that a test deploys; after each test, nothing may be left of what its tables do not account for."""

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.integration.conftest import Box, running_box
from tests.integration.deployments.helpers import WEB, Api, Deployable, Repository
from tests.integration.deployments.leftovers import nothing_is_left_behind

Make = Callable[..., Deployable]
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def breakable() -> Iterator[Box]:
    """A box for the tests of one module, which break its parts."""
    with running_box() as one:
        yield one


@pytest.fixture
def make(box: Box, tmp_path: Path) -> Iterator[Make]:
    """Make apps: `make()`, `make("worker: …")`."""
    yield from makes(box, tmp_path)


def makes(box: Box, folder: Path) -> Iterator[Make]:
    api = Api(box)
    made: list[Deployable] = []

    def make(procfile: str = WEB, url: str | None = None) -> Deployable:
        name = f"app{next(_numbers)}"
        made.append(Deployable(box, api, name, Repository(folder / name, procfile), url))
        return made[-1]

    try:
        yield make
        nothing_is_left_behind(box)
    finally:
        try:
            for app in made:
                app.delete()
        finally:
            api.close()
    nothing_is_left_behind(box)
