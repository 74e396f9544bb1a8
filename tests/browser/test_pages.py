"""What every page must stand: hostile text, long logs, no scripts, other people, typed input."""

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect
from tests.browser.conftest import EMAIL, PATIENCE, Open, Repository, Visitor
from tests.browser.test_main_job import await_live, create_app
from tests.integration.conftest import Box

EVIL = "<img src=x onerror=alert(1)> {{ 7*7 }} \"'><script>alert(2)</script>"
TICK = """import threading, time
def tick():
    for i in range(100000):
        print('tick', i, flush=True)
        time.sleep(0.05)
threading.Thread(target=tick, daemon=True).start()
"""
MOST_AT_ONCE = """
window.mostAtOnce = 0;
new MutationObserver((changes) => {
  const added = changes.flatMap((change) => [...change.addedNodes]);
  mostAtOnce = Math.max(mostAtOnce, added.filter((node) => node.classList?.contains("line")).length);
}).observe(document, { childList: true, subtree: true });
"""
"""The largest number of a log's lines that one task of the page has written."""
SCROLLED_TO = """(node) => new Promise((done) => {
  let last = -1, still = 0;
  const look = () => {
    still = node.scrollTop === last ? still + 1 : 0;
    last = node.scrollTop;
    if (still < 30) requestAnimationFrame(look);
    else done(last);
  };
  look();
})"""
"""Where a node stands once it has come to rest: a browser scrolls in steps."""
DOTENV = """# a comment
export ONE=1
TWO="two\\nlines" # why
THREE='<b>$X</b>'
"""


def test_nobody_is_sent_to_sign_in_and_back_to_where_they_wanted_to_go(account: None, visit: Open) -> None:
    visitor = visit()
    visitor.go("/account")
    assert visitor.page.url.endswith("/sign-in?next=/account")
    visitor.page.get_by_label("E-mail").fill(EMAIL)
    visitor.page.get_by_label("Password").fill("not the password")
    visitor.page.get_by_role("button", name="Sign in").click()
    expect(visitor.page.locator(".wrong")).to_contain_text("do not belong together")
    expect(visitor.page.get_by_label("E-mail")).to_have_value(EMAIL)
    visitor.page.get_by_label("Password").fill("correct horse battery")
    visitor.page.get_by_role("button", name="Sign in").click()
    visitor.page.wait_for_url("**/account")


def test_an_app_of_others_is_not_there(
    box: Box, account: None, visit: Open, make_repository: Callable[[str], Repository]
) -> None:
    make_repository("private")
    box.json("apps", "create", "private", "--repo", "/srv/slipway/repositories/private")
    link = box.json("setup-link")["url"].removeprefix(box.url())
    visitor = visit()
    visitor.go(link)
    visitor.page.get_by_label("Your name").fill("Outsider")
    visitor.page.get_by_label("E-mail").fill("outsider@example.com")
    visitor.page.get_by_label("Password").fill("correct horse battery")
    visitor.page.get_by_role("button", name="Create account").click()
    visitor.page.wait_for_url(box.url() + "/")
    leave = "DELETE FROM memberships m USING accounts a WHERE a.id = m.account_id AND a.email = 'outsider@example.com'"
    sql = ["psql", "--host=/run/slipway/postgresql", "--dbname=slipway", f"--command={leave}"]
    assert box.enter("runuser", "-u", "slipway", "--", *sql).returncode == 0

    for path in ("", "/production", "/production/variables", "/production/log", "/production/deployments/1"):
        answer = visitor.go("/apps/private" + path)
        assert answer.status == 404
        expect(visitor.page.locator("h1")).to_have_text("Not here")
    visitor.go("/")
    expect(visitor.page.locator("body")).not_to_contain_text("private")


def test_hostile_text_from_a_repository_is_shown_and_does_nothing(
    signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("hostile")
    server = (repository.folder / "server.py").read_text()
    repository.write(server_dot_py=f"print({EVIL!r} + '\\x1b[31mred\\x1b[0m', flush=True)\n{server}")
    repository.commit(EVIL, author="Mallory <b>")
    visitor = signed_in("phone")
    page = visitor.page
    page.on("dialog", lambda dialog: visitor.complaints.append(f"a script ran: {dialog.message}"))
    create_app(visitor, repository, "hostile")
    await_live(page)
    for path in ("", "/deployments", "/releases"):
        visitor.go(f"/apps/hostile/production{path}")
        expect(page.locator("main")).to_contain_text(EVIL)
    visitor.go("/apps/hostile/production/log")
    expect(page.locator("[data-log-lines]")).to_contain_text(EVIL)
    expect(page.locator(".a-fg1")).to_have_text("red")


def test_fifty_thousand_lines_do_not_freeze_the_page(
    signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("chatty")
    shout = "for i in range(50000):\n    print('line', i, 'of what the build says')\n"
    repository.write(shout_dot_py=shout, package_dot_json='{"scripts": {"build": "python3 shout.py"}}')
    repository.commit("Say much")
    visitor = signed_in()
    page = visitor.page
    create_app(visitor, repository, "chatty")
    await_live(page)
    page.add_init_script(MOST_AT_ONCE)
    page.reload()
    expect(page.locator("[data-log-state]")).to_have_text("Log: complete")
    assert page.locator(".log .line").count() > 50_000
    assert 0 < page.evaluate("mostAtOnce") < 5000, "lines that were written before the page could react again"

    number = 25_000
    page.goto(f"{page.url.partition('#')[0]}#line-{number}")
    page.reload()
    expect(page.locator(f"#line-{number}")).to_be_in_viewport()
    expect(page.locator(".chosen")).to_have_count(1)


@pytest.fixture
def ticker(signed_in: Open, make_repository: Callable[[str], Repository]) -> Iterator[Visitor]:
    """Somebody who looks at the log of an app that writes 20 numbered lines a second."""
    repository = make_repository("ticker")
    server = (repository.folder / "server.py").read_text()
    repository.write(server_dot_py=TICK + server)
    repository.commit("Tick")
    visitor = signed_in()
    create_app(visitor, repository, "ticker")
    await_live(visitor.page)
    visitor.go("/apps/ticker/production/log")
    yield visitor
    visitor.go("/")
    gone = visitor.box.slipway("apps", "delete", "ticker", "--yes", "--wait")
    assert gone.returncode == 0, gone.stderr
    shutil.rmtree(repository.folder)


def wait_for_lines(page: Page, count: int) -> None:
    """Until so many more lines are there."""
    wanted = page.locator(".log .line").count() + count
    page.wait_for_function("(wanted) => document.querySelectorAll('.log .line').length >= wanted", arg=wanted)


def check_ticks(page: Page) -> None:
    drawn = page.evaluate("[...document.querySelectorAll('.log .line > span')].map((line) => line.textContent)")
    ticks = [int(line.split()[1]) for line in drawn if line.startswith("tick ")]
    assert ticks == list(range(ticks[0], ticks[0] + len(ticks))), "a line is missing or there twice"


def test_a_log_stops_following_who_scrolls_up_and_goes_on_when_asked(ticker: Visitor) -> None:
    page = ticker.page
    lines = page.locator("[data-log-lines]")
    expect(lines).to_contain_text("tick 60")
    # At the top already there is nothing to scroll up: it has followed first.
    page.wait_for_function("() => document.querySelector('[data-log-lines]').scrollTop > 400")
    lines.hover()
    page.mouse.wheel(0, -400)
    expect(page.locator("[data-log-follow]")).to_have_attribute("aria-pressed", "false")
    expect(page.locator("[data-log-down]")).to_be_visible()
    at = lines.evaluate(SCROLLED_TO)
    wait_for_lines(page, 10)
    assert lines.evaluate("(node) => node.scrollTop") == at
    page.locator("[data-log-down]").click()
    expect(page.locator("[data-log-follow]")).to_have_attribute("aria-pressed", "true")
    check_ticks(page)


def test_a_restart_of_the_daemon_loses_and_repeats_no_line_for_who_is_watching(ticker: Visitor) -> None:
    page = ticker.page
    state = page.locator("[data-log-state]")
    expect(state).to_have_text("Log: live")
    units = ticker.box.systemctl("list-units", "--plain", "--no-legend", "slipway-*-daemon.service")
    assert ticker.box.systemctl("kill", "--signal=KILL", units.stdout.split()[0]).returncode == 0
    wait_for_lines(page, 100)
    expect(state).to_have_text("Log: live")
    check_ticks(page)


def test_a_button_that_is_pressed_twice_does_its_work_once(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    make_repository("twice")
    box.json("apps", "create", "twice", "--repo", "/srv/slipway/repositories/twice")
    visitor = signed_in()
    page = visitor.page
    visitor.go("/apps/twice/production")
    page.get_by_role("button", name="Deploy now").dblclick(no_wait_after=True)
    page.wait_for_url(re.compile(r"/deployments/\d+$"))
    await_live(page)
    visitor.go("/apps/twice/production/deployments")
    expect(page.locator("main .list > li")).to_have_count(1)


def reload_until_live(page: Page) -> None:
    """What somebody does whose page cannot look by itself."""
    state = page.locator("main .state").first
    give_up = time.monotonic() + PATIENCE / 1000
    while state.inner_text() != "Live":
        assert time.monotonic() < give_up, page.locator("main").inner_text()
        page.wait_for_timeout(250)
        page.reload()


def test_without_scripts_the_main_job_is_still_done(
    box: Box, account: None, visit: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("plain")
    visitor = visit("phone", java_script_enabled=False)
    page = visitor.page
    page.goto(box.url() + "/sign-in")
    page.get_by_label("E-mail").fill(EMAIL)
    page.get_by_label("Password").fill("correct horse battery")
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(box.url() + "/")
    page.goto(box.url() + "/apps/new")
    page.get_by_label("Repository").fill(repository.address)
    page.get_by_label("Name", exact=True).fill("plain")
    page.get_by_role("button", name="Create app").click()
    page.wait_for_url(re.compile(r"/deployments/\d+$"))
    reload_until_live(page)
    page.get_by_role("button", name="Deploy", exact=True).click()
    page.wait_for_url(re.compile(r"/deployments/\d+$"))
    reload_until_live(page)
    page.get_by_role("link", name="Releases").click()
    page.get_by_role("button", name="Roll back", exact=True).click()
    page.get_by_role("button", name="Roll back to v1").click()
    page.wait_for_url(re.compile(r"/apps/plain/production/deployments/\d+$"))
    reload_until_live(page)
    page.goto(box.url() + "/apps/plain/production/log")
    expect(page.locator(".log")).to_contain_text("listens on port")


def test_what_somebody_types_survives_a_change_of_the_page(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    repository = make_repository("typist")
    visitor = signed_in()
    page = visitor.page
    create_app(visitor, repository, "typist")
    await_live(page)
    visitor.go("/apps/typist/production/variables")
    page.get_by_label("Key of a new variable").first.fill("HALF_TYPED")
    page.get_by_label("Value of a new variable").first.fill("half a val")
    page.evaluate("document.addEventListener('htmx:afterSettle', () => { window.refetched = true; })")
    deployed = box.slipway("deploy", "typist", "--wait")
    assert deployed.returncode == 0, deployed.stderr
    page.wait_for_function("window.refetched")
    expect(page.locator("#live .head .state")).to_have_text("Live")
    expect(page.get_by_label("Key of a new variable").first).to_have_value("HALF_TYPED")
    expect(page.get_by_label("Value of a new variable").first).to_have_value("half a val")


def test_variables_are_pasted_shown_changed_and_removed_together(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    make_repository("valued")
    box.json("apps", "create", "valued", "--repo", "/srv/slipway/repositories/valued")
    visitor = signed_in("phone")
    page = visitor.page
    visitor.go("/apps/valued/production/variables")
    page.get_by_text("Paste a .env file").click()
    page.get_by_label("Lines of KEY=value").fill(DOTENV)
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#variable-TWO")).to_be_visible()
    visitor.check_width()

    page.get_by_role("link", name="Show TWO").click()
    expect(page.get_by_label("Value of TWO")).to_have_value("two\nlines")
    page.get_by_label("New value of ONE").fill("uno")
    page.locator("#variable-THREE .removal").click()
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator("#variable-THREE")).to_have_count(0)
    page.get_by_role("link", name="Show ONE").click()
    expect(page.get_by_label("Value of ONE")).to_have_value("uno")
    page.get_by_role("link", name="Show TWO").click()
    expect(page.get_by_label("Value of TWO")).to_have_value("two\nlines")

    page.get_by_label("Key of a new variable").first.fill("PORT")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".wrong")).to_contain_text("set by Slipway")
    expect(page.get_by_label("Key of a new variable").first).to_have_value("PORT")


def test_a_wrong_key_marks_its_own_line_and_no_other(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    make_repository("keyed")
    box.json("apps", "create", "keyed", "--repo", "/srv/slipway/repositories/keyed")
    visitor = signed_in()
    page = visitor.page
    visitor.go("/apps/keyed/production/variables")
    keys = page.get_by_label("Key of a new variable")
    keys.nth(0).fill("GOOD")
    keys.nth(1).fill("1BAD-key")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.locator(".wrong")).to_have_count(1)
    expect(page.locator(".wrong")).to_contain_text("must begin with a letter or _")
    expect(page.locator("[aria-invalid]")).to_have_count(1)
    expect(page.locator("[aria-invalid]")).to_have_value("1BAD-key")


def test_a_wrong_field_is_told_beside_it_and_nothing_typed_is_lost(account: None, signed_in: Open) -> None:
    visitor = signed_in()
    page = visitor.page
    visitor.go("/apps/new")
    page.get_by_label("Repository").fill("ext::sh -c touch% /tmp/canary")
    page.get_by_label("Name", exact=True).fill("fine-name")
    page.get_by_label("Branch").fill("-bad")
    page.get_by_role("button", name="Create app").click()
    expect(page.locator("#wrong-repository")).to_be_visible()
    expect(page.locator("#wrong-branch")).to_be_visible()
    expect(page.get_by_label("Repository")).to_have_value("ext::sh -c touch% /tmp/canary")
    expect(page.get_by_label("Name", exact=True)).to_have_value("fine-name")


def test_a_setup_link_that_is_over_says_what_to_run_and_leads_nowhere_else(account: None, visit: Open) -> None:
    visitor = visit()
    visitor.go("/setup/used")
    expect(visitor.page.locator("main code")).to_have_text("slipway setup-link")
    expect(visitor.page.get_by_role("link", name="All apps", exact=True)).to_have_count(0)


def test_an_app_is_deleted_only_when_its_name_is_typed(
    box: Box, signed_in: Open, make_repository: Callable[[str], Repository]
) -> None:
    make_repository("doomed")
    box.json("apps", "create", "doomed", "--repo", "/srv/slipway/repositories/doomed")
    visitor = signed_in()
    page = visitor.page
    visitor.go("/apps/doomed/production/settings")
    page.get_by_role("button", name="Delete app").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("textbox").fill("something else")
    dialog.get_by_role("button", name="Delete app").click()
    expect(dialog).to_be_visible()
    dialog.get_by_role("textbox").fill("doomed")
    dialog.get_by_role("button", name="Delete app").click()
    page.wait_for_url(box.url() + "/")
    expect(page.locator("main")).not_to_contain_text("doomed")


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_a_token_is_shown_once_and_works(device: str, box: Box, signed_in: Open) -> None:
    visitor = signed_in(device)
    page = visitor.page
    visitor.go("/account")
    page.get_by_label("Name of a new token").fill(f"laptop {device}")
    page.get_by_role("button", name="Make token").click()
    secret = page.locator("#new-token").inner_text()
    visitor.check_width()
    answer = page.request.get(box.url() + "/api/account", headers={"authorization": f"Bearer {secret}"})
    assert answer.json()["kind"] == "token"
    visitor.go("/account")
    expect(page.locator("body")).not_to_contain_text(secret)


@pytest.mark.parametrize("device", ["desk", "phone"])
def test_while_slipway_is_stopped_its_address_says_so_and_what_starts_it(device: str, box: Box, visit: Open) -> None:
    visitor = visit(device)
    sockets = [box.unit(part).replace(".service", ".socket") for part in ("web", "admin")]
    assert box.systemctl("stop", *sockets, box.unit("daemon")).returncode == 0
    try:
        answer = visitor.page.goto(box.url() + "/apps/any/production")
        assert answer is not None
        assert answer.status == 502
        expect(visitor.page.get_by_role("heading")).to_have_text("Slipway does not answer")
        expect(visitor.page.get_by_text("Apps go on running and answering")).to_be_visible()
        expect(visitor.page.locator("pre")).to_have_text("./install.sh --try")
        expect(visitor.page.locator("header")).to_have_css("border-bottom-style", "solid")
        visitor.check_width()
    finally:
        assert box.systemctl("start", f"slipway-{box.id}.target").returncode == 0
    visitor.go("/sign-in")


def test_scripts_and_styles_come_from_the_box_alone_and_may_be_kept(signed_in: Open) -> None:
    visitor = signed_in()
    seen: dict[str, str] = {}
    visitor.page.on("response", lambda answer: seen.update({answer.url: answer.headers.get("cache-control", "")}))
    visitor.go("/")
    visitor.page.wait_for_load_state("load")
    assert all(url.startswith(visitor.box.url()) for url in seen)
    assets = {url: kept for url, kept in seen.items() if "/assets/" in url}
    assert len(assets) > 5
    assert all("immutable" in kept for kept in assets.values())
    missing = subprocess.run(
        ["curl", "--silent", "--output", "/dev/null", "--write-out", "%{http_code}", "--path-as-is",
         visitor.box.url() + "/assets/x/../../pyproject.toml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert missing.stdout == "404"
