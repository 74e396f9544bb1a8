"""What environments and mirrors take of the disk.

Summed by `du` in a unit of its own, as a user who can look and do nothing else: root never walks a tree that others
write.
"""

from pathlib import Path

from slipway.errors import HostRefused
from slipway.host.agent import files, trash
from slipway.host.agent.box import CHECK_USER, Box
from slipway.host.protocol import DiskUsage, MeasureDisk

SECONDS = 110


async def measure(box: Box, verb: MeasureDisk) -> DiskUsage:
    environment, paths = verb.environment, box.paths
    builds = {} if environment is None else {one: paths.builds / str(one) for one in trash.builds_of(box, environment)}
    cache = None if environment is None else box.cache(environment)
    data = None if environment is None else paths.data / str(environment)
    mirror = None if verb.app is None else paths.mirrors / str(verb.app)
    wanted = [path for path in (*builds.values(), cache, data, mirror) if path is not None and path.is_dir()]
    sizes = await _sum(box, wanted) if wanted else {}
    return DiskUsage(
        builds=tuple((build, sizes.get(path, 0)) for build, path in sorted(builds.items())),
        cache=sizes.get(cache, 0),
        data=sizes.get(data, 0),
        mirror=sizes.get(mirror, 0),
    )


async def _sum(box: Box, folders: list[Path]) -> dict[Path | None, int]:
    unit = box.names.measuring(box.state.next_number())
    output = box.paths.orders / f"{unit}.sums"
    try:
        box.put_unit(unit, box.units.measuring(box.own_account(CHECK_USER), tuple(folders), output, SECONDS))
        await box.systemd.start(unit)
        return _read(output.read_text(), folders)
    except FileNotFoundError as error:
        raise HostRefused("what the disk holds could not be measured", reason="failed") from error
    finally:
        await box.systemd.stop(unit, seconds=10)
        box.remove_unit(unit)
        files.remove(output)


def _read(text: str, folders: list[Path]) -> dict[Path | None, int]:
    """Lines of `<bytes>\\t<folder>`."""
    known = {str(folder): folder for folder in folders}
    sizes: dict[Path | None, int] = {}
    for line in text.splitlines():
        size, _, name = line.partition("\t")
        if name in known and size.isdigit():
            sizes[known[name]] = int(size)
    return sizes
