"""Whether a build fits: on the box, and into its app's budget."""

from slipway.disks.models import MIB, AppUsage, FileSystem, Need, app_lacks, box_lacks, is_nearly_full

NEED = Need(build=100 * MIB, reserve=1000 * MIB, reserve_inodes=1000)


def system(
    free: int, holds: tuple[str, ...] = ("builds", "data"), inodes: int = 10**6, left: int = 10**5
) -> FileSystem:
    return FileSystem(holds, total=100_000 * MIB, free=free * MIB, inodes=inodes, free_inodes=left)


def usage(data: int, budget: int = 1000) -> AppUsage:
    return AppUsage("shop", 200 * MIB, 50 * MIB, data * MIB, 10 * MIB, budget, True, None)


def test_a_build_fits_where_the_reserve_stays_free() -> None:
    assert box_lacks([system(1100)], NEED) is None
    lack = box_lacks([system(1099)], NEED)
    assert lack is not None
    assert "only 1,099 MiB free where builds and data lie" in lack
    assert "1,000 MiB of it are kept for the database" in lack
    assert "expected to take 100 MiB" in lack


def test_where_no_build_goes_only_the_reserve_must_be_free() -> None:
    assert box_lacks([system(5000), system(1000, ("the database",))], NEED) is None
    lack = box_lacks([system(5000), system(999, ("the database",))], NEED)
    assert lack is not None
    assert "where the database lie" in lack


def test_files_can_run_out_before_bytes_do_unless_there_is_no_number_of_them() -> None:
    lack = box_lacks([system(5000, left=999)], NEED)
    assert lack is not None
    assert "room for only 999 more files" in lack
    assert box_lacks([system(5000, inodes=0, left=0)], NEED) is None


def test_of_a_small_file_system_a_tenth_is_kept() -> None:
    small = FileSystem(("logs",), total=500 * MIB, free=60 * MIB, inodes=0, free_inodes=0)
    assert box_lacks([small], NEED) is None
    assert is_nearly_full([small], NEED.reserve) is None


def test_an_app_fits_into_its_budget_or_is_told_what_takes_it() -> None:
    assert app_lacks(usage(640), NEED) is None
    lack = app_lacks(usage(641), NEED)
    assert lack is not None
    assert "shop may take 1,000 MiB" in lack
    assert "It takes 901 MiB (data 641 MiB, builds 200 MiB, caches 50 MiB, copy of the repository 10 MiB)" in lack


def test_what_runs_is_ended_when_three_quarters_of_the_reserve_are_gone() -> None:
    assert is_nearly_full([system(250)], NEED.reserve) is None
    assert is_nearly_full([system(5000), system(249)], NEED.reserve) == system(249)
