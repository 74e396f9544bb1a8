"""Repositories that tests change, and apps that are deployed from them, through the API as the command line uses it."""

import shutil
import subprocess
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from tests.integration.conftest import Box

SERVER = Path(__file__).with_name("app") / "server.py"
WEB = "web: python3 server.py"
PATIENCE = 60
"""Seconds that anything may take: a busy machine is slow, and what is quick is not waited for longer."""
ENDED = ("live", "failed", "cancelled", "superseded")
GIT = ("git", "-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "init.defaultBranch=main")


class Repository:
    """A Git repository with an app in it; every change is committed."""

    def __init__(self, folder: Path, procfile: str = WEB) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.git("init", "--quiet")
        shutil.copy(SERVER, folder / "server.py")
        self.commit({"Procfile": procfile + "\n"})

    def git(self, *arguments: str) -> str:
        done = subprocess.run([*GIT, "-C", str(self.folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, files: dict[str, str] | None = None, *, remove: tuple[str, ...] = ()) -> str:
        """Write files, commit everything; → the commit."""
        for name in remove:
            (self.folder / name).unlink()
        for name, text in (files or {}).items():
            (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
            (self.folder / name).write_text(text)
        self.git("add", "--all")
        message = f"Change {', '.join(files or remove or ['nothing'])}"
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        return self.git("rev-parse", "HEAD")


class Api:
    """The daemon's API over its admin socket. Any answer but 2xx fails the test, unless the caller wants the answer."""

    def __init__(self, box: Box) -> None:
        transport = httpx.HTTPTransport(uds=str(box.state / "run/slipway/admin.sock"))
        self._client = httpx.Client(transport=transport, base_url="http://localhost/api", timeout=30)

    def ask(self, method: str, path: str, body: object = None) -> httpx.Response:
        return self._client.request(method, path, json=body) if body is not None else self._client.request(method, path)

    def __call__(self, method: str, path: str, body: object = None) -> Any:
        answer = self.ask(method, path, body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def close(self) -> None:
        self._client.close()


class Deployable:
    """An app on a box, with its production environment."""

    def __init__(self, box: Box, api: Api, name: str, repository: Repository, url: str | None = None) -> None:
        self.box, self.api, self.name, self.repository = box, api, name, repository
        api("POST", "/apps", {"name": name, "repository": url or box.repository(repository.folder)})

    # ---- asking for things

    def request(self, commit: str | None = None) -> int:
        """→ the number of a deployment that was asked for."""
        number: int = self.api("POST", f"{self._environment}/deployments", {"commit": commit})["id"]
        return number

    def deploy(self, commit: str | None = None) -> dict[str, Any]:
        """Deploy, wait for the end; → the deployment."""
        return self.wait(self.request(commit))

    def go_live(self) -> dict[str, Any]:
        """Deploy what is committed; it must become live."""
        ended = self.deploy()
        assert ended["state"] == "live", f"{ended['reason']}\n{self.log(ended['id'])}"
        return ended

    def request_rollback(self, to: int | None = None) -> int:
        number: int = self.api("POST", f"{self._environment}/rollback", {"to": to})["id"]
        return number

    def rollback(self, to: int | None = None) -> dict[str, Any]:
        return self.wait(self.request_rollback(to))

    def cancel(self, number: int) -> httpx.Response:
        return self.api.ask("POST", f"/apps/{self.name}/deployments/{number}/cancel")

    def change_settings(self, **settings: object) -> None:
        """Change settings; where something is live, wait for the release that comes of it."""
        before = self.newest()
        self.api("PATCH", self._environment, {"settings": settings})
        self._wait_for_change(before)

    def change_variables(self, unset: tuple[str, ...] = (), **values: str) -> dict[str, Any] | None:
        """Change variables; → the deployment that comes of it, ended."""
        before = self.newest()
        self.api("PATCH", f"{self._environment}/variables", {"set": values, "unset": list(unset)})
        return self._wait_for_change(before)

    def scale(self, **counts: int) -> None:
        self.api("PUT", f"{self._environment}/scale", counts)

    # ---- looking

    def get(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = self.api("GET", f"/apps/{self.name}/deployments/{number}")["deployment"]
        return found

    def phases(self, number: int) -> list[str]:
        return [one["phase"] for one in self.api("GET", f"/apps/{self.name}/deployments/{number}")["phases"]]

    def began(self, number: int, phase: str) -> datetime:
        """When a phase of a deployment began."""
        phases = self.api("GET", f"/apps/{self.name}/deployments/{number}")["phases"]
        return next(datetime.fromisoformat(one["started_at"]) for one in phases if one["phase"] == phase)

    def newest(self) -> int:
        found = self.api("GET", f"{self._environment}/deployments?limit=1")["items"]
        return found[0]["id"] if found else 0

    def wait(self, number: int, seconds: float = PATIENCE) -> dict[str, Any]:
        """Until a deployment has ended."""
        return self.wait_for_state(number, ENDED, seconds)

    def wait_for_state(self, number: int, states: tuple[str, ...], seconds: float = PATIENCE) -> dict[str, Any]:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.get(number)
            if found["state"] in states or found["ended"]:
                return found
            time.sleep(0.03)
        raise AssertionError(f"deployment {number} is still {self.get(number)['state']}:\n{self.log(number)}")

    def log(self, number: int) -> str:
        return self.api.ask("GET", f"/apps/{self.name}/deployments/{number}/log").text

    def releases(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"{self._environment}/releases")
        return found

    def live(self) -> str | None:
        return next((one["name"] for one in self.releases() if one["live"]), None)

    def crashes(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api("GET", f"{self._environment}/crashes")["items"]
        return found

    def ask(self, path: str = "/", seconds: float = 30) -> httpx.Response:
        """A request as a visitor's, through nginx."""
        with self.box.visitor(self.name, seconds=seconds) as visitor:
            return visitor.get(path)

    def answering(self) -> str:
        """The release that answers a visitor."""
        answer = self.ask()
        assert answer.status_code == 200, answer.text
        release: str = answer.json()["release"]
        return release

    @property
    def environment_id(self) -> int:
        found = query(
            self.box,
            "SELECT e.id FROM environments e JOIN apps a ON a.id = e.app_id "
            f"WHERE a.name = '{self.name}' AND e.name = 'production'",
        )
        return int(found)

    @property
    def data(self) -> Path:
        """The folder that the app may write to."""
        return self.box.state / "srv/slipway/data" / str(self.environment_id)

    # ---- the end

    def delete(self) -> None:
        """Delete the app and wait until nothing is left of it."""
        answer = self.api.ask("DELETE", f"/apps/{self.name}")
        assert answer.status_code in (202, 404), answer.text
        until(lambda: self.api.ask("GET", f"/apps/{self.name}").status_code == 404, "the app is deleted")

    @property
    def _environment(self) -> str:
        return f"/apps/{self.name}/environments/production"

    def _wait_for_change(self, before: int) -> dict[str, Any] | None:
        newest = self.newest()
        return self.wait(newest) if newest != before else None


def query(box: Box, statement: str) -> str:
    """What the box's database answers, as the daemon's user sees it."""
    psql = ("psql", "-h", "/run/slipway/postgresql", "-U", "slipway", "-d", "slipway", "-Atqc", statement)
    done = box.enter("runuser", "--user", "slipway", "--", *psql)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"it did not come to pass within {seconds:g} s that {what}"
        time.sleep(0.1)
