"""One reader for both generations of control groups."""

from pathlib import Path

from slipway.host.cgroups import Groups, own_counters


def test_version_one_counters_are_read_from_each_controllers_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/a/b\n3:cpu,cpuacct:/x\n8:pids:/p\n0::/u\n")
    for folder in ("memory/a/b", "pids/p"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "memory/a/b/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "memory/a/b/memory.failcnt").write_text("5\n")
    (tmp_path / "pids/p/pids.events").write_text("max 7\n")
    counters = own_counters(tmp_path / "proc", tmp_path)
    assert (counters.oom_kills, counters.limit_met, counters.tasks_refused) == (2, 5, 7)
    assert counters.identity


def test_version_two_counters_are_read_from_the_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("0::/a/b\n")
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/memory.events").write_text("low 0\noom 3\noom_kill 1\n")
    (tmp_path / "a/b/pids.events").write_text("max 0\n")
    counters = own_counters(tmp_path / "proc", tmp_path)
    assert (counters.oom_kills, counters.limit_met, counters.tasks_refused) == (1, 3, 0)


def test_what_cannot_be_read_counts_as_zero(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("0::/gone\n")
    assert own_counters(tmp_path / "proc", tmp_path) == (0, 0, 0, "")


def test_a_group_whose_times_the_kernel_forgot_is_the_same_one(tmp_path: Path) -> None:
    write(tmp_path, {"proc": "0::/a\n", "cgroup.controllers": ""})
    write(tmp_path, {"a/memory.events": "oom_kill 1\n", "b/memory.events": "oom_kill 1\n"})
    groups = Groups(tmp_path)
    before = own_counters(tmp_path / "proc", tmp_path), groups.usage("/a")
    (tmp_path / "a").chmod(0o700)
    assert (own_counters(tmp_path / "proc", tmp_path), groups.usage("/a")) == before
    other = groups.usage("/b")
    assert before[1] is not None
    assert other is not None
    assert other.identity != before[1].identity


GROUP = "/slipway.slice/slipway-ab12-apps.slice/slipway-ab12-apps-e3.slice"


def write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        file = Path(f"{root}/{name}")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def test_usage_of_version_two_is_read_from_the_one_hierarchy(tmp_path: Path) -> None:
    at = GROUP[1:]
    write(
        tmp_path,
        {
            "cgroup.controllers": "cpu io memory pids\n",
            f"{at}/cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
            f"{at}/memory.current": "90000000\n",
            f"{at}/memory.stat": "anon 50000000\ninactive_file 30000000\nactive_file 10000000\n",
            f"{at}/memory.events": "low 0\noom 2\noom_kill 3\noom_group_kill 0\n",
            f"{at}/pids.current": "7\n",
            f"{at}/io.stat": "8:0 rbytes=10 wbytes=20 rios=1 wios=1 dbytes=5\n8:16 \n259:0 rbytes=1 wbytes=2\n",
        },
    )
    used = Groups(tmp_path).usage(GROUP)
    assert used is not None
    assert used[:6] == (1_500_000, 60_000_000, 7, 11, 22, 3)


def test_usage_of_version_one_is_read_from_each_controllers_hierarchy(tmp_path: Path) -> None:
    at = GROUP[1:]
    write(
        tmp_path,
        {
            f"systemd/{at}/cgroup.procs": "",
            f"cpuacct/{at}/cpuacct.usage": "1500000000\n",
            f"memory/{at}/memory.usage_in_bytes": "90000000\n",
            f"memory/{at}/memory.stat": "inactive_file 1\ntotal_inactive_file 30000000\n",
            f"pids/{at}/pids.current": "7\n",
            f"blkio/{at}/blkio.throttle.io_service_bytes_recursive": "8:0 Read 10\n8:0 Write 20\n8:0 Total 30\n"
            "8:16 Read 1\nTotal 31\n",
        },
    )
    used = Groups(tmp_path).usage(GROUP)
    assert used is not None
    assert used[:6] == (1_500_000, 60_000_000, 7, 11, 20, None)


def test_beside_version_one_the_processor_is_read_from_version_two_that_always_counts_it(tmp_path: Path) -> None:
    write(tmp_path, {f"unified{GROUP}/cpu.stat": "usage_usec 77\n", f"cpuacct{GROUP}/cpuacct.usage": "0\n"})
    used = Groups(tmp_path).usage(GROUP)
    assert used is not None
    assert used.cpu_usec == 77


def test_a_group_that_is_gone_has_no_usage_and_nothing_below_it(tmp_path: Path) -> None:
    assert Groups(tmp_path).usage("/gone.slice") is None
    assert Groups(tmp_path).below("/gone.slice") == []


def test_controllers_that_are_off_count_as_nothing(tmp_path: Path) -> None:
    write(tmp_path, {"cgroup.controllers": "", f"{GROUP[1:]}/cgroup.procs": ""})
    groups = Groups(tmp_path)
    used = groups.usage(GROUP)
    assert used is not None
    assert used[:6] == (0, 0, 0, 0, 0, 0)
    assert groups.below("/slipway.slice/slipway-ab12-apps.slice") == ["slipway-ab12-apps-e3.slice"]
