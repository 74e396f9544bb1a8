"""Pages behind a proxy through which no event stream comes: they look again by themselves, more slowly."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect
from tests.browser.conftest import Open, Repository
from tests.browser.test_main_job import await_live, create_app
from tests.browser.test_pages import TICK, check_ticks, wait_for_lines

STREAMS = "**/stream*"
CHANGES = "**/api/changes"


def refuse(route: Route) -> None:
    route.abort()


def hold_back(route: Route) -> None:
    """As a proxy that waits for the answer's end."""


@pytest.mark.parametrize("treat", [refuse, hold_back])
def test_a_deployments_page_and_its_log_come_to_their_end_without_a_stream(
    treat: Callable[[Route], None], signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    name = f"held-{treat.__name__.replace('_', '-')}"
    visitor = signed_in()
    page = visitor.page
    page.route(STREAMS, treat)
    page.route(CHANGES, treat)
    create_app(visitor, make_repository(name), name)
    expect(page.locator("[data-log-state]")).to_have_text("Log: complete")
    expect(page.locator("[data-log-lines]")).to_contain_text("v1 is live at")
    await_live(page)
    numbers = page.locator(".log .line > a").all_inner_texts()
    assert numbers == [str(number) for number in range(1, len(numbers) + 1)], "a line is missing or there twice"


def test_a_runtime_log_goes_on_without_a_stream_and_with_one_again(
    signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("held-log")
    server = (repository.folder / "server.py").read_text()
    repository.write(server_dot_py=TICK + server)
    repository.commit("Tick")
    visitor = signed_in()
    page = visitor.page
    create_app(visitor, repository, "held-log")
    await_live(page)
    page.route(STREAMS, refuse)
    visitor.go("/apps/held-log/production/log")
    state = page.locator("[data-log-state]")
    expect(state).to_have_text("Log: looked at every 5 s")
    wait_for_lines(page, 100)
    check_ticks(page)
    page.unroute(STREAMS)
    expect(state).to_have_text("Log: live")
    wait_for_lines(page, 100)
    check_ticks(page)
