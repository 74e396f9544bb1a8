"""One reader for both generations of control groups."""

from pathlib import Path

from slipway.host.cgroups import own_counters


def test_version_one_counters_are_read_from_each_controllers_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("4:memory:/a/b\n3:cpu,cpuacct:/x\n8:pids:/p\n0::/u\n")
    for folder in ("memory/a/b", "pids/p"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "memory/a/b/memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n")
    (tmp_path / "pids/p/pids.events").write_text("max 7\n")
    counters = own_counters(tmp_path / "proc", tmp_path)
    assert (counters.oom_kills, counters.tasks_refused) == (2, 7)
    assert counters.identity


def test_version_two_counters_are_read_from_the_one_hierarchy(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("0::/a/b\n")
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/memory.events").write_text("low 0\noom 3\noom_kill 1\n")
    (tmp_path / "a/b/pids.events").write_text("max 0\n")
    counters = own_counters(tmp_path / "proc", tmp_path)
    assert (counters.oom_kills, counters.tasks_refused) == (1, 0)


def test_what_cannot_be_read_counts_as_zero(tmp_path: Path) -> None:
    (tmp_path / "proc").write_text("0::/gone\n")
    assert own_counters(tmp_path / "proc", tmp_path)[:3] == (0, 0, "")
