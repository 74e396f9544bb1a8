"""The main job, in the page alone: from nothing to a live app, its next release, and back."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import Open, Repository, Visitor, answer_of
from tests.integration.conftest import Box


def create_app(visitor: Visitor, repository: Repository, name: str) -> None:
    page = visitor.page
    visitor.go("/apps/new")
    page.get_by_label("Repository").fill(repository.address)
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_role("button", name="Create app").click()
    page.wait_for_url(re.compile(rf"/apps/{name}/production/deployments/\d+$"))


def await_live(page: Page) -> None:
    expect(page.locator("main .state").first).to_have_text("Live")


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_an_app_goes_live_changes_and_is_rolled_back_in_the_page_alone(
    device: str, box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    name = f"boat-{device}"
    repository = make_repository(name)
    visitor = signed_in(device)
    page = visitor.page

    create_app(visitor, repository, name)
    expect(page.locator("[data-log-lines]")).to_contain_text("Deploying")
    await_live(page)
    expect(page.locator("[data-log-state]")).to_have_text("Log: complete")
    expect(page).to_have_title(re.compile("^● "))
    visitor.check_width()
    assert "v1" in answer_of(box, name)

    page.get_by_role("link", name="Variables").click()
    page.get_by_label("Key of a new variable").first.fill("GREETING")
    page.get_by_label("Value of a new variable").first.fill("Ahoy")
    page.get_by_role("button", name="Save and release").click()
    expect(page.get_by_text("A new release with it is on its way.")).to_be_visible()
    expect(page.locator("#variable-GREETING")).to_contain_text("secret")
    expect(page.locator("#live .head .state")).to_have_text("Live")
    visitor.check_width()
    assert "Ahoy" in answer_of(box, name)

    page.get_by_role("link", name="Releases").click()
    expect(page.locator("main .list > li").first).to_contain_text(re.compile("v2.*Live", re.DOTALL))
    visitor.check_width()
    page.get_by_role("button", name="Roll back").click()
    page.get_by_role("dialog").get_by_role("button", name="Roll back to v1").click()
    page.wait_for_url(re.compile(r"/deployments/\d+$"))
    await_live(page)
    assert "Ahoy" not in answer_of(box, name)

    page.get_by_role("link", name="Log", exact=True).click()
    expect(page.locator("[data-log-lines]")).to_contain_text("worker of release v1 begins")
    expect(page.locator("[data-log-state]")).to_have_text("Log: live")
    visitor.check_width()


def test_a_failing_deployment_says_why_before_anything_else_and_the_old_release_serves(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("leaky")
    visitor = signed_in()
    page = visitor.page
    create_app(visitor, repository, "leaky")
    await_live(page)
    repository.write(server_dot_py="raise SystemExit('the hull leaks')")
    repository.commit("Drill a hole")

    page.get_by_role("button", name="Deploy", exact=True).click()
    reason = page.locator("main .notice")
    expect(reason.locator("strong")).to_contain_text("ended")
    expect(reason).to_contain_text("v1 goes on serving")
    expect(page.locator("[data-log-lines]")).to_contain_text("the hull leaks")
    expect(page).to_have_title(re.compile("^✕ "))
    assert "v1" in answer_of(box, "leaky")


def test_a_deployment_is_cancelled_in_the_page(signed_in: Open, make_repository: Callable[[str], Repository]) -> None:
    repository = make_repository("slow")
    repository.write(
        Procfile="web: python3 server.py\n",
        package_dot_json='{"name": "slow", "version": "1.0.0", "scripts": {"build": "sleep 60"}}',
    )
    repository.commit("Take a while")
    visitor = signed_in()
    create_app(visitor, repository, "slow")
    visitor.page.get_by_role("button", name="Cancel").click()
    expect(visitor.page.locator("main .state").first).to_have_text("Cancelled")
