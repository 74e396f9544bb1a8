"""A real box and Debian's chromium, on a desk and on a phone; a page that complains in any way fails its test."""

import http.client
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Response, expect, sync_playwright
from tests.integration.conftest import Box, running_box

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
DEVICES = {
    "desk": {"viewport": {"width": 1280, "height": 800}},
    "phone": {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
}
PATIENCE = 60_000
"""ms that anything may take: a busy machine is slow, and what is quick is not waited for longer."""
expect.set_options(timeout=PATIENCE)
EMAIL, PASSWORD = "ada@example.com", "correct horse battery"
HELLO = Path(__file__).resolve().parents[2] / "examples/hello"
REPOSITORIES = "srv/slipway/repositories"


@dataclass
class Visitor:
    """One browser window with cookies of its own."""

    box: Box
    context: BrowserContext
    page: Page
    complaints: list[str] = field(default_factory=list)

    def go(self, path: str) -> Response:
        """Open a page, and check that it is not wider than the screen."""
        answer = self.page.goto(self.box.url() + path)
        assert answer is not None
        assert answer.status < 500, self.page.locator("body").inner_text()
        self.check_width()
        return answer

    def check_width(self) -> None:
        wide, screen = self.page.evaluate("[document.documentElement.scrollWidth, innerWidth]")
        assert wide <= screen, f"{self.page.url} is {wide} px wide on a screen of {screen} px"

    def sign_in(self, email: str = EMAIL, password: str = PASSWORD) -> None:
        self.go("/sign-in")
        self.page.get_by_label("E-mail").fill(email)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Sign in").click()
        self.page.wait_for_url(self.box.url() + "/")


def answer_of(box: Box, app: str) -> str:
    """What an app's `/` says, asked as a visitor: the resolver here need not know names under localhost."""
    with closing(http.client.HTTPConnection("127.0.0.1", box.port, timeout=30)) as connection:
        connection.request("GET", "/", headers={"Host": f"{app}.localhost:{box.port}"})
        return connection.getresponse().read().decode()


@dataclass
class Repository:
    """A Git repository on the box's machine."""

    folder: Path

    @property
    def address(self) -> str:
        """As the box sees it."""
        return f"/{REPOSITORIES}/{self.folder.name}"

    def write(self, **files: str) -> None:
        for name, text in files.items():
            (self.folder / name.replace("_dot_", ".")).write_text(text)

    def commit(self, subject: str, author: str = "Ada Lovelace") -> None:
        who = ["-c", f"user.name={author}", "-c", "user.email=ada@example.com", "-c", "commit.gpgsign=false"]
        for argv in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "--message", subject]):
            subprocess.run(["git", "-C", str(self.folder), *who, *argv], check=True, capture_output=True)


@pytest.fixture(scope="session")
def box() -> Iterator[Box]:
    with running_box() as one:
        yield one


@pytest.fixture(scope="session")
def setup_link(box: Box) -> str:
    """The path of a setup link."""
    url: str = box.json("setup-link")["url"]
    return url.removeprefix(box.url())


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        chromium.close()


Open = Callable[..., Visitor]


@pytest.fixture
def visit(box: Box, browser: Browser) -> Iterator[Open]:
    """Open a window: `visit("phone")`, `visit(java_script_enabled=False)`. What its console says fails the test."""
    windows: list[Visitor] = []

    def visitor(device: str = "desk", **options: object) -> Visitor:
        context = browser.new_context(**DEVICES[device], **options)  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE)
        one = Visitor(box, context, context.new_page())
        one.page.on("console", lambda said: _note(one, said.type, said.text))
        one.page.on("pageerror", lambda error: one.complaints.append(str(error)))
        windows.append(one)
        return one

    yield visitor
    for one in windows:
        one.context.close()
    complaints = [complaint for one in windows for complaint in one.complaints]
    assert not complaints, complaints


def _note(visitor: Visitor, kind: str, text: str) -> None:
    # That a page was refused is the answer's business, which the tests look at.
    if kind in ("error", "warning") and not text.startswith("Failed to load resource"):
        visitor.complaints.append(text)


@pytest.fixture
def signed_in(account: None, visit: Open) -> Open:
    """Like `visit`, as the owner."""

    def visitor(device: str = "desk", **options: object) -> Visitor:
        one = visit(device, **options)
        one.sign_in()
        return one

    return visitor


@pytest.fixture(scope="session")
def account(box: Box, browser: Browser, setup_link: str) -> None:
    """The owner, made by the page of the setup link."""
    with _plain_page(browser) as page:
        page.goto(box.url() + setup_link)
        page.get_by_label("Your name").fill("Ada Lovelace")
        page.get_by_label("E-mail").fill(EMAIL)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Create account").click()
        page.wait_for_url(box.url() + "/")


@contextmanager
def _plain_page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(PATIENCE)
    try:
        yield context.new_page()
    finally:
        context.close()


@pytest.fixture
def make_repository(box: Box) -> Callable[[str], Repository]:
    """A copy of examples/hello with one commit."""

    def make(name: str) -> Repository:
        repository = Repository(box.state / REPOSITORIES / name)
        shutil.copytree(HELLO, repository.folder)
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", str(repository.folder)], check=True)
        repository.commit("Say hello")
        return repository

    return make
