"""Forms of an environment: its settings and where it comes from, what is live beside what was changed, refusals."""

import subprocess
from collections.abc import Callable

import pytest
from playwright.sync_api import expect
from tests.browser.conftest import EMAIL, PASSWORD, Open, Repository, answer_of
from tests.browser.test_main_job import await_live, create_app
from tests.integration.conftest import Box


@pytest.mark.parametrize(("device", "scripts"), [("desk", True), ("phone", True), ("desk", False)])
def test_where_an_app_comes_from_is_changed_in_its_settings(
    device: str,
    scripts: bool,
    box: Box,
    account: None,
    visit: Open,
    make_repository: Callable[[str], Repository],
) -> None:
    name = f"moving-{device}" + ("" if scripts else "-plain")
    repository = make_repository(name)
    box.json("apps", "create", name, "--repo", repository.address, "--branch", "gone")
    subprocess.run(["git", "-C", str(repository.folder), "branch", "next"], check=True)
    visitor = visit(device, java_script_enabled=scripts)
    page = visitor.page
    page.goto(box.url() + "/sign-in")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(box.url() + "/")

    page.goto(f"{box.url()}/apps/{name}/production/settings")
    page.get_by_label("Repository").fill("ext::sh -c id")
    page.get_by_label("Branch", exact=True).fill("-bad")
    page.get_by_label("Branch of production").fill("..")
    page.get_by_label("Base directory").fill("../elsewhere")
    page.get_by_role("button", name="Save", exact=True).click()
    for field in ("repository", "app_branch", "branch", "base_directory"):
        expect(page.locator(f"#wrong-{field}")).to_be_visible()
    expect(page.get_by_label("Repository")).to_have_value("ext::sh -c id")

    page.get_by_label("Repository").fill(repository.address)
    page.get_by_label("Branch", exact=True).fill("main")
    page.get_by_label("Branch of production").fill("next")
    page.get_by_label("Base directory").fill("")
    if scripts:
        visitor.check_width()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("The next deployment comes from there")).to_be_visible()
    expect(page.get_by_label("Branch", exact=True)).to_have_value("main")
    shown = box.json("apps", "show", name)
    assert (shown["branch"], shown["environments"][0]["branch"]) == ("main", "next")
    assert box.slipway("deploy", name, "--wait").returncode == 0


def test_after_a_rollback_the_pages_say_what_is_not_used_and_release_it_anew(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    visitor = signed_in("phone")
    page = visitor.page
    create_app(visitor, make_repository("drifting"), "drifting")
    await_live(page)
    for path in ("variables", "settings"):
        visitor.go(f"/apps/drifting/production/{path}")
        expect(page.locator("#newer")).to_have_count(0)
    box.json("settings", "drifting", "memory=128", "health_seconds=59")
    box.json("env", "set", "drifting", "GREETING=Ahoy-from-v2")
    await_deployments_end(box, "drifting")
    assert "Ahoy" in answer_of(box, "drifting")
    back = box.slipway("rollback", "drifting", "--to", "v1", "--wait")
    assert back.returncode == 0, back.stderr

    visitor.go("/apps/drifting/production/settings")
    expect(page.locator("#newer")).to_contain_text(
        "Changed after v1, the live release, was made: health seconds, memory."
    )
    visitor.check_width()
    visitor.go("/apps/drifting/production/variables")
    expect(page.locator("#newer")).to_contain_text("Changed after v1, the live release, was made: GREETING.")
    expect(page.locator("#newer")).not_to_contain_text("Ahoy")
    visitor.check_width()
    page.get_by_role("button", name="Release anew").click()
    await_live(page)
    assert "Ahoy" in answer_of(box, "drifting")
    for path in ("variables", "settings"):
        visitor.go(f"/apps/drifting/production/{path}")
        expect(page.locator("#newer")).to_have_count(0)


def await_deployments_end(box: Box, app: str) -> None:
    for one in box.json("deployments", app):
        box.slipway("logs", app, "--build", str(one["id"]), "-f")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_button_that_is_refused_leads_back_to_its_page_which_says_why(
    scripts: bool, box: Box, account: None, visit: Open, make_repository: Callable[[str], Repository]
) -> None:
    name = "refused" if scripts else "refused-plain"
    make_repository(name)
    box.json("apps", "create", name, "--repo", f"/srv/slipway/repositories/{name}")
    for _ in range(2):
        deployed = box.slipway("deploy", name, "--wait")
        assert deployed.returncode == 0, deployed.stderr
    visitor = visit(java_script_enabled=scripts)
    page = visitor.page
    page.goto(box.url() + "/sign-in")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(box.url() + "/")
    releases = f"{box.url()}/apps/{name}/production/releases"
    page.goto(releases)
    page.get_by_role("button", name="Roll back", exact=True).click()
    button = page.get_by_role("button", name="Roll back to v1")
    expect(button).to_be_visible()
    back = box.slipway("rollback", name, "--wait")
    assert back.returncode == 0, back.stderr
    button.click()
    page.wait_for_url(releases)
    expect(page.get_by_role("alert")).to_have_text("v1 is live already.")
    page.reload()
    expect(page.get_by_role("button", name="Roll back", exact=True)).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
