"""A deployment can be cancelled in each phase: all that it started ends with it."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.conftest import Make
from tests.integration.deployments.helpers import WEB, Deployable

FORKS = "(sleep 1000 & sleep 1000) & sleep 1000"


@contextmanager
def hanging_server(box: Box) -> Iterator[str]:
    """A Git server that takes requests and never answers; → its URL."""
    with box.listen() as server:
        held: list[socket.socket] = []

        def accept() -> None:
            while True:
                try:
                    held.append(server.accept()[0])
                except OSError:
                    return

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield box.repository_at(server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in held:
                connection.close()


def is_cancelled(app: Deployable, number: int) -> None:
    assert app.cancel(number).is_success
    ended = app.wait(number)
    assert (ended["state"], ended["reason"]) == ("cancelled", "It was cancelled."), app.log(number)


def test_while_it_is_fetching(make: Make, box: Box) -> None:
    with hanging_server(box) as url:
        app = make(url=url)
        number = app.request()
        app.wait_for_state(number, ("fetching",))
        is_cancelled(app, number)


def test_while_it_is_queued(make: Make, box: Box) -> None:
    with hanging_server(box) as url:
        app = make(url=url)
        first = app.request()
        app.wait_for_state(first, ("fetching",))
        second = app.request()
        assert app.get(second)["state"] == "queued"
        is_cancelled(app, second)
        is_cancelled(app, first)


@pytest.mark.parametrize(
    ("phase", "files", "settings"),
    [
        ("building", {"Procfile": WEB + "\n"}, {"build_command": FORKS}),
        ("releasing", {"Procfile": f"{WEB}\nrelease: {FORKS}\n"}, {}),
        ("checking", {"Procfile": f"web: {FORKS}\n"}, {}),
        ("checking", {"Procfile": f"web: trap '' TERM; {FORKS}\n"}, {"stop_seconds": 1}),
    ],
)
def test_while_it_is(make: Make, phase: str, files: dict[str, str], settings: dict[str, object]) -> None:
    app = make()
    app.go_live()
    if settings:
        app.change_settings(**settings)
    serving = app.live()
    app.repository.commit(files)
    number = app.request()
    assert app.wait_for_state(number, (phase,))["state"] == phase, app.log(number)
    is_cancelled(app, number)
    assert app.answering() == serving == app.live()


def test_at_any_moment_it_is_either_cancelled_or_live_and_the_route_says_the_same(make: Make) -> None:
    app = make()
    app.go_live()
    serving = "v1"
    for step in range(10):
        app.repository.commit({"step": str(step)})
        number = app.request()
        app.wait_for_state(number, ("releasing", "starting", "checking", "switching")[step % 4 :])
        app.cancel(number)
        app.cancel(number)
        ended = app.wait(number)
        assert ended["state"] in ("cancelled", "live"), ended["reason"]
        if ended["state"] == "live":
            serving = ended["release"]
        assert app.answering() == serving == app.live()


def test_what_has_ended_cannot_be_cancelled(make: Make) -> None:
    app = make()
    ended = app.go_live()
    assert app.cancel(ended["id"]).status_code == 409


def test_an_app_that_is_deleted_in_mid_deployment_leaves_nothing(make: Make) -> None:
    app = make(f"{WEB}\nrelease: {FORKS}")
    number = app.request()
    app.wait_for_state(number, ("releasing",))
    app.request()
    app.delete()
