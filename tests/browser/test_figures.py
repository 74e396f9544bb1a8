"""Charts in the pages: there, fresh without a reload, and inside the screen."""

from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import Open, Repository, answer_of
from tests.browser.test_main_job import await_live, create_app
from tests.integration.conftest import Box


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_what_is_asked_of_an_app_appears_in_its_page_while_one_looks(
    device: str, box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    name = f"figures-{device}"
    visitor = signed_in(device)
    page = visitor.page
    create_app(visitor, make_repository(name), name)
    await_live(page)
    visitor.go(f"/apps/{name}/production")
    requests = page.locator("#figures figure", has_text="Requests")
    expect(requests.locator("strong")).to_have_text("0")
    page.evaluate("window.notReloaded = true")
    for _ in range(12):
        answer_of(box, name)
    expect(requests.locator("strong")).to_have_text("12")
    expect(requests.locator("path.ok")).to_have_count(1)
    expect(page.locator("#figures figure", has_text="Memory").locator("path.line")).to_have_count(1)
    assert page.evaluate("window.notReloaded"), "only the charts were fetched again"
    visitor.check_width()

    page.get_by_role("link", name="Last day").click()
    page.wait_for_url("**/production?period=day")
    expect(page.locator("#figures [aria-current]")).to_have_text("Last day")
    visitor.check_width()


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_the_server_has_a_page_with_its_own_figures_and_its_operating_system(device: str, signed_in: Open) -> None:
    visitor = signed_in(device)
    visitor.page.get_by_role("link", name="Server").click()
    visitor.page.wait_for_url("**/system")
    expect(visitor.page.locator("#figures figure")).to_have_count(6)
    expect(visitor.page.locator("#figures path.line").first).to_be_attached()
    expect(visitor.page.get_by_text("Not a server")).to_be_visible()
    visitor.check_width()
