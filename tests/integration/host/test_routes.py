"""The route: one rename moves it, no request is lost, and a static site is served by nginx itself."""

import asyncio
import http.client
import threading

import pytest

from slipway.errors import HostRefused
from slipway.host.protocol import DeleteBuild, Inspect, PutSite, PutSlot, RemoveSite, Switch

from .conftest import Rigged, until

STATIC = {"index.html": "<p>one", "a.css": "one", ".env": "SECRET", "deep/index.html": "deep"}


def ask(port: int, hostname: str, path: str = "/", method: str = "GET", body: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Host": hostname})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


async def serving(environment: Rigged, says: str, slot: int, release: int, generation: int) -> None:
    environment.generation = generation
    await environment.release({"web": "exec python3 web.py"}, {"SAYS": says}, release)
    await environment.start("web", slot=slot, release=release)

    async def running() -> bool:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port_of(environment, slot))
        except OSError:
            return False
        writer.close()
        return True

    await until(running)


def port_of(environment: Rigged, slot: int) -> int:
    text = (environment.rig.state / "etc/slipway/slipway.toml").read_text()
    first = int(text.split("first_port = ", 1)[1].split()[0])
    return first + (environment.place - 1) * 24 + (slot - 1) * 8


async def switch(environment: Rigged, expected: int, target: int, generation: int | None = None) -> None:
    await environment.rig.host.call(
        Switch(environment.number, environment.place, expected, target, generation or environment.generation)
    )


async def test_no_request_is_lost_in_two_hundred_switches_under_load(environment: Rigged) -> None:
    hostname = await environment.site()
    await serving(environment, "one", 1, 1, 1)
    await serving(environment, "two", 2, 2, 2)
    await switch(environment, 0, 1)
    port, answers, failures = environment.rig.box.port, {"one": 0, "two": 0}, list[str]()
    ended = threading.Event()

    def load() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        count = 0
        while not ended.is_set():
            count += 1
            try:
                if count % 3:
                    connection.request("GET", "/", headers={"Host": hostname})
                else:
                    connection.request("POST", "/", "x" * 100, {"Host": hostname})
                answer = connection.getresponse()
                text = answer.read().decode()
                if answer.status == 200:
                    answers[text] += 1
                else:
                    failures.append(f"{answer.status}")
            except (OSError, http.client.HTTPException) as error:
                failures.append(repr(error))
                connection.close()
        connection.close()

    threads = [threading.Thread(target=load) for _ in range(8)]
    for thread in threads:
        thread.start()
    for count in range(200):
        await switch(environment, 1 + count % 2, 2 - count % 2)
        await asyncio.sleep(0.02)
    ended.set()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    assert failures == []
    assert min(answers.values()) > 50


async def test_a_switch_comes_once_and_only_from_where_it_is_expected(environment: Rigged) -> None:
    await switch(environment, 0, 1, 3)
    await switch(environment, 0, 1, 3)
    with pytest.raises(HostRefused, match="at slot 1"):
        await switch(environment, 3, 2, 3)
    with pytest.raises(HostRefused, match="too late"):
        await switch(environment, 1, 2, 2)
    await asyncio.to_thread(environment.rig.kill_agent)
    with pytest.raises(HostRefused, match="too late"):
        await switch(environment, 1, 2, 2)
    await switch(environment, 1, 0, 3)
    routes = (await environment.rig.host.call(Inspect(environment.number))).routes
    assert [route.slot for route in routes] == [0]


async def test_without_a_route_the_site_says_that_nothing_runs_yet(environment: Rigged) -> None:
    hostname = await environment.site()
    status, text = ask(environment.rig.box.port, hostname)
    assert status == 503
    assert "not running" in text


async def static_slot(environment: Rigged, slot: int, files: dict[str, str], previous: int | None = None) -> int:
    build, work = await environment.build(files)
    assert work.ok, work
    assert work.plan is not None
    assert work.plan.public_folder is not None
    await environment.rig.host.call(
        PutSlot(
            environment.number, environment.place, slot, environment.generation, build, work.plan.public_folder,
            previous, f"/srv/slipway/builds/{previous}/app" if previous else None,
        )
    )  # fmt: skip
    return build


async def test_a_static_site_is_served_with_old_assets_and_without_dotfiles(environment: Rigged) -> None:
    hostname, port = await environment.site(static=True), environment.rig.box.port
    first = await static_slot(environment, 1, STATIC | {"old.css": "old"})
    await switch(environment, 0, 1)
    assert ask(port, hostname) == (200, "<p>one")
    assert ask(port, hostname, "/deep")[1] == "deep"
    assert ask(port, hostname, "/deep/")[1] == "deep"
    assert ask(port, hostname, "/any/page") == (200, "<p>one")
    assert ask(port, hostname, "/.env")[0] == 404
    assert ask(port, hostname, "/missing.css")[0] == 404
    await static_slot(environment, 2, {"index.html": "<p>two", "404.html": "<p>nothing here"}, previous=first)
    await switch(environment, 1, 2)
    assert ask(port, hostname) == (200, "<p>two")
    assert ask(port, hostname, "/old.css") == (200, "old")
    assert ask(port, hostname, "/any/page") == (404, "<p>nothing here")


async def test_a_link_out_of_a_static_build_leaks_no_file(environment: Rigged) -> None:
    hostname = await environment.site(static=True)
    build = await static_slot(environment, 1, STATIC)
    await switch(environment, 0, 1)
    link = environment.rig.state / f"srv/slipway/builds/{build}/app/leak.txt"
    link.symlink_to("/etc/hostname")
    assert ask(environment.rig.box.port, hostname, "/leak.txt")[0] in (403, 404)


async def test_an_environment_may_become_static_and_back_while_it_serves(environment: Rigged) -> None:
    hostname, port = await environment.site(), environment.rig.box.port
    await serving(environment, "app", 1, 1, 1)
    await switch(environment, 0, 1)
    assert ask(port, hostname) == (200, "app")
    await environment.site(static=True)
    assert ask(port, hostname) == (200, "app")
    await static_slot(environment, 2, STATIC)
    await switch(environment, 1, 2)
    assert ask(port, hostname) == (200, "<p>one")
    environment.builds.append(environment.builds[0])
    await serving(environment, "again", 3, 2, 2)
    assert ask(port, hostname) == (200, "<p>one")
    await switch(environment, 2, 3)
    assert ask(port, hostname) == (200, "again")


async def test_a_public_folder_behind_a_link_is_refused(environment: Rigged) -> None:
    build, work = await environment.build(STATIC)
    assert work.ok
    folder = environment.rig.state / f"srv/slipway/builds/{build}"
    (folder / "out").symlink_to("/etc")
    for path in (f"/srv/slipway/builds/{build}/out", "/etc", f"/srv/slipway/builds/{build}/../1"):
        with pytest.raises(HostRefused):
            await environment.rig.host.call(PutSlot(environment.number, environment.place, 1, 1, build, path))


async def test_putting_the_same_site_again_reloads_nothing_and_a_removed_one_is_gone(environment: Rigged) -> None:
    hostname = await environment.site()
    generation = environment.rig.state / "etc/slipway/nginx/generation.conf"
    before = generation.read_text()
    for _ in range(10):
        await environment.site()
    assert generation.read_text() == before, "it has a new number before each reload"
    await environment.rig.host.call(RemoveSite(environment.number))
    with pytest.raises((OSError, http.client.HTTPException)):
        ask(environment.rig.box.port, hostname)


@pytest.mark.parametrize("name", ["a;b", "a b", "a..b", "*", "a{b", "-a", "a\nb", "A", "a.", "$host"])
async def test_a_host_name_that_is_none_is_refused(environment: Rigged, name: str) -> None:
    with pytest.raises(HostRefused):
        await environment.rig.host.call(PutSite(environment.number, environment.place, (name,), False, 1))


async def test_a_deleted_build_is_gone_with_folders_that_its_owner_closed(environment: Rigged) -> None:
    build, _ = await environment.build(STATIC)
    folder = environment.rig.state / f"srv/slipway/builds/{build}"
    (folder / "app/deep").chmod(0)
    await environment.rig.host.call(DeleteBuild(environment.number, build))
    assert not folder.exists()
    assert list((environment.rig.state / "srv/slipway/trash").iterdir()) == []
