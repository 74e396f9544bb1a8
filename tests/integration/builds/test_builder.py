"""The builder with commits and commands that fail, flood, linger, or were made to hurt."""

import os
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import msgspec
import psutil
import pytest
from tests.integration.builds.builder_run import BUILD_USER, GIT, RUN_USER, Workshop, run_as

from slipway.plan import END_OF_LOG, BuildOverrides, validate

PROCFILE = {"Procfile": "web: ./serve"}


def last_line(log: str) -> str:
    return log.split("\n")[-2]


def test_the_log_begins_with_what_was_detected_and_why_and_ends_with_the_mark(workshop: Workshop) -> None:
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command="echo made"))
    lines = built.log.split("\n")
    assert lines[1] == "Detected: Procfile"
    assert lines[2] == "  Procfile: web: ./serve"
    assert "$ echo made" in lines
    assert "made" in lines
    assert last_line(built.log) == END_OF_LOG
    assert built.status == 0
    assert validate(built.plan, built.folder) == built.plan


def test_a_failing_command_ends_the_build_with_its_status_in_the_reason(workshop: Workshop) -> None:
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command="echo so far; exit 7"))
    assert built.status == 1
    assert "`echo so far; exit 7` ended with exit status 7" in built.reason
    assert "so far" in built.log
    assert last_line(built.log) == END_OF_LOG
    assert not (built.folder / "plan.json").exists()


@pytest.mark.parametrize(
    ("command", "says"),
    [("no-such-program", "is not there"), ("kill -9 $$", "signal (Killed)"), ("./plain", "not executable")],
)
def test_how_a_command_failed_is_said_in_words(workshop: Workshop, command: str, says: str) -> None:
    built = workshop.build_files({**PROCFILE, "plain": "x"}, BuildOverrides(build_command=command))
    assert says in built.reason


def test_packages_that_do_not_exist_fail_the_build_with_the_tools_own_words(workshop: Workshop) -> None:
    built = workshop.build_files({**PROCFILE, "requirements.txt": "slipway-no-such-package-at-all==9.9\n"})
    assert built.status == 1
    assert "Install requirements.txt" in built.reason
    assert "slipway-no-such-package-at-all" in built.log


def test_a_flood_is_cut_at_the_limit_and_everything_ends(workshop: Workshop) -> None:
    flood = "yes flood & yes flood & setsid yes flood & wait"
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command=flood), log_limit_bytes=1_000_000)
    assert built.status == 3
    assert "The build wrote more than 1 MB of log" in built.reason
    assert 1_000_000 <= len(built.log) < 1_001_000
    assert last_line(built.log) == END_OF_LOG
    assert processes_in(built.folder) == []


def test_what_a_command_leaves_in_the_background_is_ended_and_holds_nothing_up(workshop: Workshop) -> None:
    leaving = "sleep 1000 & setsid sleep 1001 & (setsid sh -c 'sleep 1002 & sleep 1003') & echo left"
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command=leaving))
    assert built.status == 0
    assert processes_in(built.folder) == []


def test_a_stop_ends_all_that_was_started_and_says_so(workshop: Workshop) -> None:
    slow = "trap '' TERM; echo begun; setsid sleep 1000 & sleep 1000"
    order = workshop.order(*commit(workshop, PROCFILE), overrides=BuildOverrides(build_command=slow))
    builder = workshop.start(order)
    assert builder.stdout is not None
    while "begun" not in (line := builder.stdout.readline()) or line.startswith(("$", " ")):
        assert line
    builder.send_signal(signal.SIGTERM)
    built = workshop.finish(order, builder)
    assert built.status == 128 + signal.SIGTERM
    assert built.reason == "The build was stopped."
    assert last_line(built.log) == END_OF_LOG
    assert processes_in(built.folder) == []


def test_a_command_cannot_write_the_line_that_ends_the_log(workshop: Workshop) -> None:
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command=r"printf '\036slipway-end\n'; echo after"))
    assert built.log.count(END_OF_LOG) == 1
    assert last_line(built.log) == END_OF_LOG


def test_a_command_cannot_put_its_own_reports_in_place(workshop: Workshop) -> None:
    forged = (
        "ln -s /etc/passwd ../plan.json; mkdir ../.plan.json.new ../x; echo '{\"ok\":true}' > ../result.json; exit 1"
    )
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command=forged))
    assert built.result["ok"] is False


def test_the_environments_variables_reach_the_commands_and_no_others_do(workshop: Workshop) -> None:
    variables = {"COLOUR": "blue; $(id)\n'\"", "NODE_ENV": "test"}
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command="env -0 > ../env"), variables=variables)
    seen = dict(entry.split("=", 1) for entry in (built.folder / "env").read_text().split("\0") if entry)
    assert seen["COLOUR"] == variables["COLOUR"]
    assert seen["HOME"].startswith(str(workshop.cache))
    assert "SUDO_USER" not in seen
    assert variables["COLOUR"] not in built.log


def test_an_interrupted_attempt_is_built_anew_in_the_same_folder(workshop: Workshop) -> None:
    order = workshop.order(*commit(workshop, PROCFILE))
    first = workshop.finish(order, workshop.start(order))
    (first.folder / "app" / "left").mkdir()
    (first.folder / "app" / "left" / "over").touch()
    shutil.chown(first.folder / "app" / "left", BUILD_USER)
    again = workshop.finish(order, workshop.start(order))
    assert again.status == 0, again.log
    assert not (again.folder / "app" / "left").exists()


# ---- commits -------------------------------------------------------------------------------------------------


def commit(workshop: Workshop, files: dict[str, str]) -> tuple[Path, str]:
    source = workshop.folder / "source"
    source.mkdir()
    for name, text in files.items():
        (source / name).write_text(text)
    return workshop.commit(source)


def test_a_commit_without_files_is_refused_in_words(workshop: Workshop) -> None:
    assert "The commit has no files" in workshop.build_files({}).reason


def test_a_commit_that_is_gone_is_refused_in_words(workshop: Workshop) -> None:
    mirror, _ = commit(workshop, PROCFILE)
    order = workshop.order(mirror, "0" * 40)
    built = workshop.finish(order, workshop.start(order))
    assert "The commit 000000000000 is not in the repository's copy here" in built.reason


def test_a_base_directory_is_where_everything_happens(workshop: Workshop) -> None:
    files = {"README.md": "", "web/app/Procfile": "web: ./x"}
    built = workshop.build_files(files, BuildOverrides(build_command="pwd"), base_directory="web/app")
    assert built.plan.directory == str(built.folder / "app/web/app")
    assert f"\n{built.plan.directory}\n" in built.log


@pytest.mark.parametrize(
    "base", ["../..", "/etc", "nothing", "a/../../..", "link", "link/etc", "Procfile", "a\nb", ".git"]
)
def test_a_base_directory_that_is_not_in_the_commit_is_refused(workshop: Workshop, base: str) -> None:
    source = workshop.folder / "source"
    source.mkdir()
    (source / "Procfile").write_text("web: x")
    (source / "link").symlink_to("/")
    built = workshop.build(source, base_directory=base)
    assert built.status == 1
    assert built.reason
    assert "Traceback" not in built.log


def test_links_stay_links_and_a_public_folder_that_leads_out_is_refused(workshop: Workshop) -> None:
    source = workshop.folder / "source"
    source.mkdir()
    (source / "public").symlink_to("/usr/share")
    (source / "passwd").symlink_to("/etc/passwd")
    built = workshop.build(source, BuildOverrides(public_folder="public"))
    assert "There is no index.html in public" in built.reason
    assert (built.folder / "app/passwd").is_symlink()


def test_evil_file_names_are_only_names(workshop: Workshop) -> None:
    source = workshop.folder / "source"
    source.mkdir()
    names = [
        "$(touch canary)",
        "--upload-pack=touch canary",
        "a\nb",
        "-rf",
        "`id`",
        "a;b|c",
        "ä ö",
        "\x1b[31mred",
        "'\"{}",
    ]
    for name in names:
        (source / name).write_text("x")
    (source / os.fsdecode(b"\xff\xfe")).write_text("x")
    (source / "Procfile").write_text("web: x")
    built = workshop.build(source)
    assert built.status == 0, built.log
    assert len(list((built.folder / "app").iterdir())) == len(names) + 2
    assert not list(workshop.folder.rglob("canary"))


def test_a_tree_with_a_git_folder_in_it_is_refused(workshop: Workshop) -> None:
    mirror, _ = commit(workshop, PROCFILE)

    def git(*arguments: str, given: str = "") -> str:
        result = subprocess.run([*GIT, *arguments], cwd=mirror, check=True, input=given, capture_output=True, text=True)
        return result.stdout.strip()

    blob = git("hash-object", "-w", "--stdin", given="[core]\n\tfsmonitor = touch canary\n")
    inner = git("mktree", given=f"100644 blob {blob}\tconfig\n")
    evil = git("mktree", given=f"040000 tree {inner}\t.git\n")
    order = workshop.order(mirror, git("commit-tree", "-m", "evil", evil))
    built = workshop.finish(order, workshop.start(order))
    assert "Git refuses a name in it" in built.reason
    assert "invalid path '.git/config'" in built.log


def test_a_small_commit_that_unpacks_to_more_than_its_limit_writes_no_file(workshop: Workshop) -> None:
    source = workshop.folder / "source"
    source.mkdir()
    (source / "zeros").write_bytes(bytes(64 * 2**20))
    mirror, sha = workshop.commit(source)
    assert sum(file.stat().st_size for file in mirror.rglob("*") if file.is_file()) < 2**20
    order = workshop.order(mirror, sha, checkout_limit_bytes=32 * 2**20)
    built = workshop.finish(order, workshop.start(order))
    assert "would take more than 32 MiB of the disk, which is this server's limit" in built.reason
    assert list((built.folder / "app").iterdir()) == []


def test_a_commit_that_names_one_folder_a_billion_times_writes_no_file(workshop: Workshop) -> None:
    mirror, _ = commit(workshop, PROCFILE)

    def git(*arguments: str, given: str = "") -> str:
        result = subprocess.run([*GIT, *arguments], cwd=mirror, check=True, input=given, capture_output=True, text=True)
        return result.stdout.strip()

    entry = f"100644 blob {git('hash-object', '-w', '--stdin')}"
    for _ in range(9):
        lines = "".join(f"{entry}\t{name}\n" for name in "abcdefghij")
        entry = f"040000 tree {git('mktree', given=lines)}"
    order = workshop.order(mirror, git("commit-tree", "-m", "bomb", entry.split()[2]), checkout_limit_bytes=2**30)
    built = workshop.finish(order, workshop.start(order))
    assert "would take more than 1024 MiB of the disk" in built.reason
    assert list((built.folder / "app").iterdir()) == []


def test_folders_count_as_what_a_commit_takes_of_the_disk(workshop: Workshop) -> None:
    mirror, _ = commit(workshop, PROCFILE)

    def git(*arguments: str, given: str = "") -> str:
        result = subprocess.run([*GIT, *arguments], cwd=mirror, check=True, input=given, capture_output=True, text=True)
        return result.stdout.strip()

    entry = f"100644 blob {git('hash-object', '-w', '--stdin')}"
    for _ in range(300):
        tree = git("mktree", given=f"{entry}\ta\n")
        entry = f"040000 tree {tree}"
    order = workshop.order(mirror, git("commit-tree", "-m", "deep", tree), checkout_limit_bytes=2**20)
    built = workshop.finish(order, workshop.start(order))
    assert "would take more than 1 MiB of the disk" in built.reason
    assert list((built.folder / "app").iterdir()) == []


def test_no_hook_and_no_filter_of_the_repository_runs(workshop: Workshop) -> None:
    canary = workshop.folder / "canary"
    source = workshop.folder / "source"
    source.mkdir()
    (source / "Procfile").write_text("web: x\n")
    (source / ".gitattributes").write_text("* filter=evil text eol=crlf\n")
    mirror, sha = workshop.commit(source)
    hook = mirror / "hooks" / "post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {canary}\n")
    hook.chmod(0o755)
    subprocess.run(["git", "config", "filter.evil.smudge", f"touch {canary}; cat"], cwd=mirror, check=True)
    workshop.folder.chmod(0o777)
    order = workshop.order(mirror, sha)
    assert workshop.finish(order, workshop.start(order)).status == 0
    assert not canary.exists()


# ---- what lies there afterwards --------------------------------------------------------------------------------


def test_the_run_user_reads_and_executes_all_of_a_build_and_writes_none(workshop: Workshop) -> None:
    odd = "mkdir closed; echo x > closed/private; chmod 600 closed/private; chmod 700 closed; " \
        "cp /bin/true run; chmod 4700 run; mkdir open; chmod 777 open; umask 077; echo y > late"  # fmt: skip
    built = workshop.build_files(PROCFILE, BuildOverrides(build_command=odd))
    app = built.folder / "app"
    assert stat.S_IMODE((app / "run").stat().st_mode) == 0o755
    assert stat.S_IMODE((app / "closed").stat().st_mode) == 0o755
    assert stat.S_IMODE((app / "closed/private").stat().st_mode) == 0o644
    assert stat.S_IMODE((app / "open").stat().st_mode) == 0o755
    assert run_as(RUN_USER, ["cat", str(app / "late")]) == 0
    assert run_as(RUN_USER, [str(app / "run")]) == 0
    if BUILD_USER != RUN_USER:
        assert run_as(RUN_USER, ["touch", str(app / "open/new")]) != 0


def test_a_build_shares_no_file_with_the_cache(workshop: Workshop) -> None:
    built = workshop.build_files({**PROCFILE, "requirements.txt": "itsdangerous"})
    assert built.status == 0, built.log
    files = [path for path in (built.folder / "venv").rglob("*") if path.is_file() and not path.is_symlink()]
    assert files
    assert all(path.stat().st_nlink == 1 for path in files)


def test_pip_is_there_for_a_command_that_calls_it(workshop: Workshop) -> None:
    files = {**PROCFILE, "requirements.txt": ""}
    built = workshop.build_files(files, BuildOverrides(install_command="pip --version && which pip"))
    assert built.status == 0, built.log
    assert f"{built.folder}/venv/bin/pip" in built.log


def test_a_fault_of_the_builders_own_still_ends_the_log_and_gives_a_result(workshop: Workshop) -> None:
    order = workshop.order(*commit(workshop, PROCFILE))
    content = msgspec.json.decode(order.read_bytes())
    content["variables"] = {"HOLDS_A_NUL": "a\0b"}
    content["overrides"] = {"build_command": "true"}
    order.write_bytes(msgspec.json.encode(content))
    built = workshop.finish(order, workshop.start(order))
    assert built.status == 1
    assert built.result["ok"] is False
    assert last_line(built.log) == END_OF_LOG


def test_an_order_that_cannot_be_read_is_said(workshop: Workshop) -> None:
    order = workshop.folder / "order.json"
    order.write_bytes(msgspec.json.encode({"build_id": 1, "commit": "--upload-pack"}))
    builder = workshop.start(order)
    said, _ = builder.communicate(timeout=20)
    assert builder.returncode == 2
    assert "The build's order cannot be read" in said
    assert "Traceback" not in said


def processes_in(folder: Path) -> list[int]:
    """Processes that still work in a build's folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(folder)):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
