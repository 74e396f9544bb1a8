"""Records of how instances and work ended, one file each, written by root's exit reporter (`host/exit_reporter.py`)."""

import re
from pathlib import Path

import msgspec

from slipway.host.agent.box import Box
from slipway.host.protocol import ExitRecord, ExitRecords, Exits

_ID = re.compile(r"[0-9]{1,20}-slipway-[a-z0-9_.-]{1,200}\.service")
MAX_RECORDS = 1000
"""In one answer; what is acknowledged makes room for more."""


class Report(msgspec.Struct, frozen=True):
    """A record as the reporter writes it."""

    id: str
    unit: str
    at: float
    asked: bool
    exit_code: int | None
    signal: str | None
    result: str
    out_of_memory: bool
    tasks_refused: bool
    invocation: str
    limit_met: bool = True
    """Whether it was the unit's own limit that left no room in memory. (Records of earlier releases do not say.)"""


async def list_and_acknowledge(box: Box, verb: Exits) -> ExitRecords:
    for number in verb.acknowledge:
        if _ID.fullmatch(number):
            (box.paths.exits / f"{number}.json").unlink(missing_ok=True)
    records = []
    for file in _files(box, ""):
        report = _read(file)
        instance = box.names.find_instance(report.unit) if report else None
        if report is None or instance is None:
            continue
        records.append(
            ExitRecord(
                id=report.id,
                instance=instance,
                at=report.at,
                asked=report.asked,
                exit_code=report.exit_code,
                signal=report.signal,
                out_of_memory=report.out_of_memory,
                tasks_refused=report.tasks_refused,
                unit=report.unit,
                invocation=report.invocation,
            )
        )
        if len(records) == MAX_RECORDS:
            break
    return ExitRecords(tuple(records))


def last_of_unit(box: Box, unit: str) -> Report | None:
    found = _files(box, f"-{unit}")
    return _read(found[-1]) if found else None


def forget_unit(box: Box, unit: str) -> None:
    for file in _files(box, f"-{unit}"):
        file.unlink(missing_ok=True)


def forget_environment(box: Box, environment: int) -> None:
    for file in _files(box, ""):
        report = _read(file)
        instance = box.names.find_instance(report.unit) if report else None
        if instance is not None and instance.environment == environment:
            file.unlink(missing_ok=True)


def _files(box: Box, suffix: str) -> list[Path]:
    """Oldest first: names begin with nanoseconds since the epoch."""
    return sorted(box.paths.exits.glob(f"[0-9]*{suffix}.json"))


def _read(file: Path) -> Report | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Report)
    except (FileNotFoundError, msgspec.MsgspecError):
        return None
