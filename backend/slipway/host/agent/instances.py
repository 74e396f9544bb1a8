"""Instances of processes: start, stop, and what runs."""

import asyncio
from collections.abc import Iterable

from slipway.errors import HostRefused
from slipway.host.agent import slots, trash
from slipway.host.agent.box import Box
from slipway.host.protocol import Done, Instance, StartInstances, StopInstances
from slipway.settings import RANKS

STOP_MARGIN = 15.0
"""Seconds beyond the longest stop time of a unit (an hour at most) until a stop counts as failed."""


async def start(box: Box, verb: StartInstances) -> Done:
    environment = box.state.at_place(verb.environment, verb.place)
    trash.check_built_for(box, verb.environment, verb.build)
    if verb.slot and verb.count > RANKS:
        raise HostRefused(f"a slot has ports for {RANKS} instances, not {verb.count}", reason="invalid")
    if not box.units.launch_file(verb.environment, verb.release).exists():
        raise HostRefused(f"v{verb.release} has no launcher file on this machine; put it first", reason="conflict")
    box.state.fence(verb.environment, verb.generation)
    if verb.slot:
        slots.forget(box, verb.place, verb.slot)
    starting = []
    for rank in range(verb.count):
        instance = Instance(verb.environment, verb.release, verb.release_generation, verb.slot, verb.process, rank)
        unit = box.names.instance(instance)
        text = box.units.instance(
            instance,
            account=box.run_account(verb.environment),
            build=verb.build,
            port=box.settings.port(environment.place, verb.slot, rank) if verb.slot else 0,
            limits=verb.limits,
            stop_seconds=verb.stop_seconds,
        )
        if box.has_unit(unit) or box.systemd.is_in_memory(unit):
            state = box.systemd.state(unit)
            if state.active in ("active", "activating", "reloading"):
                continue
            if state.active != "inactive" or state.started or not box.has_unit(unit, text):
                await box.end_unit(unit)  # it was given up, or made ready otherwise
        box.put_unit(unit, text, at_boot=not verb.only_ready)
        starting.append(unit)
    if verb.only_ready:
        return Done()
    await asyncio.gather(*(box.systemd.start(unit) for unit in starting))
    return Done()


async def stop(box: Box, verb: StopInstances) -> Done:
    box.state.fence(verb.environment, verb.generation)
    chosen = [unit for unit, instance in existing(box, verb.environment) if _is_chosen(verb, instance)]
    await asyncio.gather(*(box.end_unit(unit, seconds=3600 + STOP_MARGIN) for unit in chosen))
    return Done()


async def stop_all(box: Box, environment: int) -> None:
    await asyncio.gather(*(box.end_unit(unit) for unit, _ in existing(box, environment)))


def existing(box: Box, environment: int, files: Iterable[str] | None = None) -> list[tuple[str, Instance]]:
    """An environment's instances that have a unit file or run. `files` are all unit files, where they are known."""
    prefix = f"{box.names.prefix}-e{environment}-"
    units = {name for name in (box.unit_files() if files is None else files) if name.startswith(prefix)}
    units |= {row.unit for row in box.systemd.listed(f"{prefix}*.service") if row.active not in ("inactive", "failed")}
    found = [(unit, instance) for unit in units if (instance := box.names.find_instance(unit)) is not None]
    return sorted(found, key=lambda each: each[1])


def _is_chosen(verb: StopInstances, instance: Instance) -> bool:
    return (
        verb.release in (None, instance.release)
        and verb.release_generation in (None, instance.generation)
        and verb.process in (None, instance.process)
        and instance.process != verb.but_process
        and instance.generation != verb.but_release_generation
        and instance.rank >= verb.from_rank
    )
