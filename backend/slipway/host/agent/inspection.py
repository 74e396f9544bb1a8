"""What is really there: read from systemd and the disk, never from memory."""

from collections.abc import Iterable
from pathlib import Path

from slipway.host.agent import instances, routes, sites
from slipway.host.agent.box import Box
from slipway.host.protocol import Box as Answer
from slipway.host.protocol import Inspect, Route, RunningInstance


async def inspect(box: Box, verb: Inspect) -> Answer:
    running = []
    files = box.unit_files()
    if verb.environment is None:
        known = box.state.environments()
    else:  # asked in each deployment: it must not cost more where there are many others
        known = [each for each in (box.state.find(verb.environment),) if each is not None]
        for unit, instance in instances.existing(box, verb.environment, files):
            state = box.systemd.state(unit)
            running.append(RunningInstance(instance, state.active, state.sub, state.restarts, state.main_pid))
    found = [Route(each.environment, each.place, routes.current(box, each.place), each.generation) for each in known]
    work = map(box.names.find_work, files)
    return Answer(
        instances=tuple(running),
        routes=tuple(found),
        sites=_sites(box, verb.environment),
        environments=tuple(each.environment for each in known),
        work=tuple(sorted(each for each in work if each is not None)),
    )


def _sites(box: Box, environment: int | None) -> tuple[int, ...]:
    if environment is None:
        return _numbers((box.paths.nginx / "sites").glob("*.conf"))
    return (environment,) if sites.site_file(box, environment).exists() else ()


def _numbers(paths: Iterable[Path]) -> tuple[int, ...]:
    return tuple(sorted(int(path.stem) for path in paths if path.stem.isdigit()))
