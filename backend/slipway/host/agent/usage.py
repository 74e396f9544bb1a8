"""What each environment has used: its slice's counters, of all that runs in it or ran since the slice is there."""

import asyncio
import time

from slipway.host.agent.box import Box
from slipway.host.agent.names import Names
from slipway.host.cgroups import Groups
from slipway.host.protocol import EnvironmentUsage, ReadUsage, Usage


async def read(box: Box, verb: ReadUsage) -> Usage:
    parent = box.systemd.control_group(box.names.apps_slice)
    # Thousands of small files, where there are many environments: nobody else is kept waiting for them.
    return await asyncio.to_thread(_read, box.names, parent, Groups())


def _read(names: Names, parent: str, groups: Groups) -> Usage:
    at = time.monotonic()
    found = []
    for name in groups.below(parent) if parent else ():
        environment = names.find_environment(name)
        used = groups.usage(f"{parent}/{name}") if environment is not None else None
        if environment is not None and used is not None:
            found.append(
                EnvironmentUsage(
                    environment=environment,
                    group=used.identity,
                    cpu_usec=used.cpu_usec,
                    memory=used.memory,
                    tasks=used.tasks,
                    read_bytes=used.read_bytes,
                    written_bytes=used.written_bytes,
                    oom_kills=used.oom_kills,
                )
            )
    return Usage(at=at, environments=tuple(found))
