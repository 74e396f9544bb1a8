"""What a box holds, compared with what its tables account for: anything more was left behind."""

import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Box
from tests.integration.deployments.helpers import PATIENCE, query, until

_WANTED = """SELECT json_build_object(
    'environments', (SELECT coalesce(json_agg(json_build_array(id, place)), '[]') FROM environments),
    'apps', (SELECT coalesce(json_agg(id), '[]') FROM apps),
    'slots', (SELECT coalesce(json_agg(json_build_object('environment', s.environment_id, 'place', e.place,
                  'number', s.number, 'release', r.number, 'generation', s.generation, 'role', s.role,
                  'processes', r.processes)), '[]')
              FROM slots s JOIN releases r ON r.id = s.release_id JOIN environments e ON e.id = s.environment_id),
    'builds', (SELECT coalesce(json_agg(id), '[]') FROM builds WHERE state = 'ready'),
    'releases', (SELECT coalesce(json_agg(json_build_array(environment_id, number)), '[]') FROM releases
                 WHERE pruned_at IS NULL),
    'open', (SELECT coalesce(json_agg(id), '[]') FROM deployments
             WHERE state NOT IN ('live', 'failed', 'cancelled', 'superseded')))"""
_UNIT = re.compile(r"slipway-[a-z0-9]+-e(\d+)-v(\d+)-g(\d+)-s([0-3])-([a-z][a-z0-9_-]*)\.(\d+)\.service")
_WORK = re.compile(r"slipway-[a-z0-9]+-(fetch|build|release)-\d+\.service")
RANKS = 8


def nothing_is_left_behind(box: Box, seconds: float = PATIENCE) -> None:
    """Fails with a list of what the tables do not account for. What is on its way out has a moment to go."""
    found: list[str] = []

    def clean() -> bool:
        found[:] = leftovers(box)
        return not found

    try:
        until(clean, "nothing is left behind", seconds)
    except AssertionError:
        pytest.fail("left behind:\n" + "\n".join(found))


def leftovers(box: Box) -> list[str]:
    wanted = json.loads(query(box, _WANTED))
    settings = tomllib.loads((box.state / "etc/slipway/slipway.toml").read_text())
    return [
        *(f"deployment {number} has not ended" for number in wanted["open"]),
        *(f"slot {slot['number']} of environment {slot['environment']} is {slot['role']}"
          for slot in wanted["slots"] if slot["role"] in ("incoming", "stopping")),
        *_units(box, wanted),
        *_unit_files(box, wanted),
        *_ports(box, settings, wanted),
        *_processes(box, settings, wanted),
        *_users(box, wanted),
        *_files(box, wanted),
        *_routes(box, wanted),
    ]  # fmt: skip


def _accounted(unit: str, wanted: dict[str, Any]) -> bool:
    match = _UNIT.fullmatch(unit)
    if match is None:
        return _WORK.fullmatch(unit) is None  # else it is one of Slipway's own
    environment, release, generation, number, process, _ = match.groups()
    return any(
        (slot["environment"], slot["release"], slot["generation"]) == (int(environment), int(release), int(generation))
        and int(number) in (0, slot["number"])
        and (process == "web" or slot["role"] == "live")
        for slot in wanted["slots"]
    )


def _units(box: Box, wanted: dict[str, Any]) -> Iterator[str]:
    list_units = ("list-units", "--all", "--plain", "--no-legend")
    for line in box.systemctl(*list_units, f"slipway-{box.id}-*.service").stdout.splitlines():
        unit, _, active, *_ = line.split()
        if active != "inactive" and not _accounted(unit, wanted):
            yield f"unit {line}"
    slices = box.systemctl(*list_units, "--state=active", "slipway-*.slice").stdout
    known = {environment for environment, _ in wanted["environments"]}
    for found in re.finditer(r"(slipway-\S+-apps-e(\d+)\.slice)", slices):
        if int(found[2]) not in known:
            yield f"slice {found[1]}"


def _unit_files(box: Box, wanted: dict[str, Any]) -> Iterator[str]:
    folder = box.unit_files
    for file in [*folder.glob("slipway-*.service"), *folder.glob("*.wants/slipway-*.service")]:
        if not _accounted(file.name, wanted):
            yield f"unit file {file.name}"


def _ports(box: Box, settings: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    first, places = settings["apps"]["first_port"], settings["apps"]["places"]
    slots = {(slot["place"], slot["number"]) for slot in wanted["slots"]}
    for line in box.tcp.read_text().splitlines()[1:]:
        fields = line.split()
        port = int(fields[1].rpartition(":")[2], 16)
        place, rest = divmod(port - first, 3 * RANKS)
        if fields[3] == "0A" and 0 <= place < places and (place + 1, rest // RANKS + 1) not in slots:
            yield f"listening port {port} of place {place + 1}, slot {rest // RANKS + 1}, user {fields[7]}"


def _processes(box: Box, settings: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    first = settings["apps"]["first_uid"] + 10  # the first ten are Slipway's own
    last = settings["apps"]["first_uid"] + settings["apps"]["uids"]
    for status in box.proc.glob("[0-9]*/status"):
        try:
            uid = int(re.search(r"^Uid:\s+(\d+)", status.read_text(), re.MULTILINE)[1])  # type: ignore[index]
            if not first <= uid < last:
                continue
            groups = (status.parent / "cgroup").read_text()
            command = (status.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue  # it has just ended
        unit = re.search(r"[^/\n]+\.service", groups)
        if unit is None or not _accounted(unit[0], wanted) or _UNIT.fullmatch(unit[0]) is None:
            yield f"process {status.parent.name} of user {uid}: {command}"


def _users(box: Box, wanted: dict[str, Any]) -> Iterator[str]:
    known = {environment for environment, _ in wanted["environments"]}
    for line in (box.etc / "passwd").read_text().splitlines():
        name = line.split(":")[0]
        match = re.fullmatch(r"sl-[a-z0-9]+-[rb](\d+)", name)
        if match and int(match[1]) not in known:
            yield f"user {name}"
    for file in (box.state / "var/lib/slipway/agent/environments").iterdir():
        if int(file.stem) not in known:
            yield f"what the agent remembers of environment {file.stem}"


def _files(box: Box, wanted: dict[str, Any]) -> Iterator[str]:
    state = box.state
    environments = {str(environment) for environment, _ in wanted["environments"]}
    launch = {f"{environment}/{number}.json" for environment, number in wanted["releases"]}
    yield from _more_than(state / "srv/slipway/builds", {str(build) for build in wanted["builds"]})
    owned = state / "var/lib/slipway/agent/builds"
    yield from _more_than(owned, environments)
    for folder in owned.glob("*"):
        yield from _more_than(folder, {str(build) for build in wanted["builds"]})
    yield from _more_than(state / "srv/slipway/data", environments)
    yield from _more_than(state / "var/lib/slipway/mirrors", {str(app) for app in wanted["apps"]} | {".trash"})
    yield from _more_than(state / "run/slipway/orders", set())
    yield from _more_than(state / "var/lib/slipway/agent/release-commands", set())
    yield from _more_than(state / "var/lib/slipway/agent/leaving", set())
    for file in (state / "srv/slipway/launch").glob("*/*"):
        if f"{file.parent.name}/{file.name}" not in launch:
            yield f"launcher file {file}"
    for trash in (state / "srv/slipway/trash", state / "var/lib/slipway/trash", state / "var/cache/slipway/trash"):
        yield from _more_than(trash, set())
    sites = {environment for environment, _ in wanted["environments"]}
    for site in (state / "etc/slipway/nginx/sites").glob("*.conf"):
        if int(site.stem) not in sites:
            yield f"site {site}"


def _more_than(folder: Path, known: set[str]) -> Iterator[str]:
    if folder.is_dir():
        yield from (str(file) for file in folder.iterdir() if file.name not in known)


def _routes(box: Box, wanted: dict[str, Any]) -> Iterator[str]:
    live = {slot["place"]: slot["number"] for slot in wanted["slots"] if slot["role"] == "live"}
    for marker in (box.state / "srv/slipway/live").iterdir():
        place, _, number = marker.name.partition(".")
        if place == "slots":
            continue
        if int(place) not in live or (number and int(number) != live[int(place)]):
            yield f"route marker {marker.name}"
