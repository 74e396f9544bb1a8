"""What is really there: read from systemd and the disk, never from memory."""

from collections.abc import Iterable
from pathlib import Path

from slipway.host.agent import certificates, instances, routes
from slipway.host.agent.box import Box
from slipway.host.protocol import Box as Answer
from slipway.host.protocol import Inspect, Route, RunningInstance


async def inspect(box: Box, verb: Inspect) -> Answer:
    known = [each for each in box.state.environments() if verb.environment in (None, each.environment)]
    running = []
    for unit, instance in instances.existing(box, verb.environment):
        state = box.systemd.state(unit)
        running.append(RunningInstance(instance, state.active, state.sub, state.restarts, state.main_pid))
    found = [Route(each.environment, each.place, routes.current(box, each.place), each.generation) for each in known]
    work = {box.names.find_work(file.name) for file in box.unit_folder.glob(f"{box.names.prefix}-*.service")}
    return Answer(
        instances=tuple(running),
        routes=tuple(found),
        sites=_numbers((box.paths.nginx / "sites").glob("*.conf"), verb.environment),
        environments=tuple(each.environment for each in known),
        builds=_numbers(box.paths.builds.iterdir()),
        work=tuple(sorted(each for each in work if each is not None)),
        certificates=certificates.installed(box),
    )


def _numbers(paths: Iterable[Path], only: int | None = None) -> tuple[int, ...]:
    found = sorted(int(path.stem) for path in paths if path.stem.isdigit())
    return tuple(number for number in found if only in (None, number))
