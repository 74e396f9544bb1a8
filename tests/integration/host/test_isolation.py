"""An instance and a build see their own files and nobody else's, nor anything of Slipway's own."""

import json
from typing import Any

from slipway.host.protocol import Limits, RemoveEnvironment
from slipway.plan import BuildOverrides

from .conftest import Rig, Rigged

SPY = """
import json, os, socket, sys
seen = {}
for path in sys.argv[2:]:
    try:
        if os.path.isdir(path):
            seen[path] = sorted(os.listdir(path))
        elif path.endswith(".sock"):
            socket.socket(socket.AF_UNIX).connect(path)
            seen[path] = "connected"
        else:
            seen[path] = open(path, "rb").read(20).decode(errors="replace")
    except OSError as error:
        seen[path] = None
seen["processes"] = sorted(int(pid) for pid in os.listdir("/proc") if pid.isdigit())
for path in ("/usr/x", "/etc/x", "/srv/slipway/x", "/opt/slipway/x", os.getcwd() + "/x"):
    try:
        open(path, "w")
        seen["wrote " + path] = True
    except OSError:
        pass
new = sys.argv[1] + ".new"
json.dump(seen, open(new, "w"))
os.rename(new, sys.argv[1])
"""


def secrets(rig: Rig, other: Rigged) -> list[str]:
    """What nobody but its owner may see, by every path that leads there."""
    build, state = other.builds[-1], str(rig.state)
    return [
        prefix + path
        for prefix in ("", state)
        for path in (
            f"/srv/slipway/builds/{build}/app/web.py",
            f"/srv/slipway/launch/{other.number}/1.json",
            f"/srv/slipway/data/{other.number}/secret",
            f"/srv/slipway/data/{other.number}",
            "/etc/slipway/key",
            "/etc/slipway/slipway.toml" if not prefix else "/etc/slipway/key",
            f"/var/lib/slipway/mirrors/{other.number}/HEAD",
            "/var/lib/slipway/agent/uids.json",
            "/run/slipway/host.sock",
            "/run/slipway/admin.sock",
            "/run/slipway/web.sock",
            "/run/slipway/nginx.sock",
            "/run/slipway/postgresql/.s.PGSQL.5432",
            "/run/slipway/orders",
            "/run/slipway/exits",
            "/run/slipway/marks",
            "/var/log/slipway/access.log",
        )
    ] + [
        "/run/systemd/private",
        "/run/systemd/journal/socket",
        "/run/dbus/system_bus_socket",
        "/run/systemd/manager/bus",
    ]


async def other_environment(rig: Rig) -> Rigged:
    other = await rig.environment()
    await other.release({"worker": "echo hidden > $HOME/secret; exec sleep 1000"}, {"SECRET": "hidden"})
    await other.start("worker")
    return other


async def test_an_instance_sees_nothing_of_others_or_of_slipway(rig: Rig, environment: Rigged) -> None:
    other = await other_environment(rig)
    await environment.build({"Procfile": "web: sleep 1\n", "spy.py": SPY})
    await environment.release(
        {"worker": "python3 spy.py $HOME/report $ASK; sleep 100"}, {"ASK": " ".join(secrets(rig, other))}
    )
    await environment.start("worker")
    await check(rig, other, await environment.report())


async def test_a_build_sees_nothing_of_others_or_of_slipway(rig: Rig, environment: Rigged) -> None:
    other = await other_environment(rig)
    build, work = await environment.build(
        {"Procfile": "web: sleep 1\n", "spy.py": SPY},
        overrides=BuildOverrides(build_command="python3 spy.py ../report $ASK; rm -f x"),
        variables={"ASK": " ".join(secrets(rig, other))},
        limits=Limits(memory=512),
    )
    assert work.ok, work
    seen = json.loads((rig.state / f"srv/slipway/builds/{build}/report").read_text())
    # Its own order and its own folder are its own.
    assert len(seen.pop("/run/slipway/orders")) == 1
    seen.pop(f"wrote /srv/slipway/builds/{build}/app/x")
    await check(rig, other, seen)


async def check(rig: Rig, other: Rigged, seen: dict[str, Any]) -> None:
    pids = [each.main_pid for each in await other.instances()]
    await rig.host.call(RemoveEnvironment(other.number, other.place))
    assert {path: what for path, what in seen.items() if path != "processes" and what} == {}
    assert not set(pids) & set(seen["processes"])


async def test_the_run_user_cannot_change_the_build_it_runs(environment: Rigged) -> None:
    command = (
        "touch $PWD/x ../y 2>/dev/null; rm -f web.py 2>/dev/null; "
        "echo '{\"done\": 1}' > $HOME/new; mv $HOME/new $HOME/report; sleep 100"
    )
    build = await environment.release({"worker": command})
    await environment.start("worker")
    await environment.report()
    folder = environment.rig.state / f"srv/slipway/builds/{build}"
    assert sorted(path.name for path in (folder / "app").iterdir()) == ["Procfile", "web.py"]
    assert not (folder / "y").exists()
