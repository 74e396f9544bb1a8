"""What is on the disk, whose it is, and whether something more fits. Rules only; bytes everywhere but in budgets."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

MIB = 2**20


class FileSystem(msgspec.Struct, frozen=True):
    """One file system that Slipway writes to, and what of it lies there."""

    holds: tuple[str, ...]
    total: int
    free: int
    """What Slipway's own users may still write."""
    inodes: int
    """0 where the file system has no fixed number of them."""
    free_inodes: int


class AppUsage(msgspec.Struct, frozen=True):
    """What an app took when it was last measured, all environments together."""

    app: str
    builds: int
    caches: int
    data: int
    mirror: int
    """Its copy of the repository."""
    budget: int
    """MiB."""
    own_budget: bool
    measured_at: datetime | None
    """Of what was measured longest ago; null: something of it was not measured yet."""

    @property
    def total(self) -> int:
        return self.builds + self.caches + self.data + self.mirror


class Need(msgspec.Struct, frozen=True):
    """What must be there before a deployment begins."""

    build: int
    """What it is expected to take."""
    reserve: int
    reserve_inodes: int


def box_lacks(file_systems: Sequence[FileSystem], need: Need) -> str | None:
    """Why a deployment would not fit on the box, in plain words; None where it does."""
    for one in file_systems:
        wanted, kept = need.build if "builds" in one.holds else 0, kept_free(one, need.reserve)
        if one.free < kept + wanted:
            return (
                f"this server's disk has only {mib(one.free)} free where {_named(one.holds)} lie. "
                f"{mib(kept)} of it are kept for the database, the logs and Slipway itself, and this build is "
                f"expected to take {mib(need.build)}"
            )
        files = min(need.reserve_inodes, one.inodes // 10)
        if one.free_inodes < files:
            return (
                f"this server's disk has room for only {one.free_inodes:,} more files where {_named(one.holds)} lie, "
                f"and {files:,} are kept for the database, the logs and Slipway itself"
            )
    return None


def app_lacks(usage: AppUsage, need: Need) -> str | None:
    """Why a deployment would not fit into its app's budget; None where it does."""
    if usage.total + need.build <= usage.budget * MIB:
        return None
    return (
        f"{usage.app} may take {mib(usage.budget * MIB)} of the disk. It takes {mib(usage.total)} ({parts(usage)}), "
        f"and this build is expected to take {mib(need.build)} more"
    )


def is_nearly_full(file_systems: Sequence[FileSystem], reserve: int) -> FileSystem | None:
    """The file system on which what runs has taken most of the reserve; None where there is none."""
    return next((one for one in file_systems if one.free < kept_free(one, reserve) // 4), None)


def kept_free(one: FileSystem, reserve: int) -> int:
    """Of a small file system (one for logs alone, say) no more than a tenth."""
    return min(reserve, one.total // 10)


def parts(usage: AppUsage) -> str:
    sizes = {
        "builds": usage.builds, "caches": usage.caches, "data": usage.data, "copy of the repository": usage.mirror
    }  # fmt: skip
    largest = sorted(sizes.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {mib(size)}" for name, size in largest)


def mib(size: int) -> str:
    return f"{size / MIB:,.0f} MiB" if size < 10 * 1024 * MIB else f"{size / MIB / 1024:,.1f} GiB"


def _named(holds: Sequence[str]) -> str:
    return " and ".join([", ".join(holds[:-1]), holds[-1]] if len(holds) > 1 else holds)
