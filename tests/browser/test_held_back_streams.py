"""Pages behind a proxy through which no event stream comes: they look again by themselves, more slowly."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Route, expect
from tests.browser.conftest import Open, Repository
from tests.browser.test_main_job import await_live, create_app
from tests.browser.test_pages import TICK, check_ticks, wait_for_lines

COUNT_LOG_STREAMS = """
window.logStreams = 0;
window.EventSource = class extends EventSource {
  constructor(address) {
    super(address);
    if (String(address).includes("/log/stream")) window.logStreams += 1;
  }
};
"""
SEEN = """(seen) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => !seen });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
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


def test_a_log_that_is_asked_for_begins_no_stream_while_its_page_is_hidden(
    signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    visitor = signed_in()
    page = visitor.page
    create_app(visitor, make_repository("held-hidden"), "held-hidden")
    await_live(page)
    page.route(STREAMS, refuse)
    page.add_init_script(COUNT_LOG_STREAMS)
    visitor.go("/apps/held-hidden/production/log")
    state = page.locator("[data-log-state]")
    expect(state).to_have_text("Log: looked at every 5 s")

    held: list[Route] = []
    page.route(lambda address: "format=json" in address, lambda route: held.append(route))
    with page.expect_request(lambda request: "format=json" in request.url):
        pass
    while not held:  # the request is told before it comes to its route
        page.wait_for_timeout(10)
    page.evaluate(SEEN, False)
    begun = page.evaluate("logStreams")
    state.evaluate("(state) => { state.textContent = 'being asked' }")
    held[0].continue_()
    expect(state).to_have_text("Log: looked at every 5 s")
    assert page.evaluate("logStreams") == begun
    page.evaluate(SEEN, True)
    assert page.evaluate("logStreams") == begun + 1
