"""The text of units: exact where it matters, and nothing but plain values ever in it."""

from pathlib import Path

import pytest

from slipway.errors import Invalid
from slipway.host.agent.templates import Templates, Words
from slipway.host.agent.units import Account, Units, Work, unit_folder
from slipway.host.protocol import Instance, Limits
from slipway.settings import Http, Installation, Mode, Settings

TEMPLATES = Templates(Path(__file__).parents[3] / "templates")


def units(mode: Mode = Mode.LOCAL, prefix: str = "") -> Units:
    return Units(Settings(Installation("ab12", mode), Http(8080), prefix=prefix), TEMPLATES)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def instance(made: Units, account: Account) -> str:
    return made.instance(
        Instance(3, 12, 7, 2, "web", 1),
        account=account,
        build=44,
        port=10033,
        limits=Limits(256, 150, 64),
        stop_seconds=9,
    )


def test_the_unit_of_an_instance_is_exactly_this() -> None:
    text = instance(units(), Account("sl-ab12-r3", "sl-ab12-r3"))
    unit = "slipway-ab12-e3-v12-g7-s2-web.1.service"
    host = "/opt/slipway/current/backend/slipway/host"
    assert lines(text) == [
        "[Unit]",
        "Description=Slipway: environment 3, v12, web.1",
        "StartLimitIntervalSec=0",
        "[Service]",
        "Type=exec",
        "Slice=slipway-ab12-apps-e3.slice",
        "User=sl-ab12-r3",
        "Group=sl-ab12-r3",
        f"ExecStart=/usr/bin/python3 -I -S {host}/launcher.py /srv/slipway/launch/3/12.json web 1 10033 "
        f"/run/slipway/back-off/{unit}",
        *(
            f"{when}=+/usr/bin/python3 -I -S {host}/exit_reporter.py {what} {unit} /run/slipway/exits "
            "/run/slipway/marks /run/slipway/back-off"
            for when, what in (("ExecStop", "stopping"), ("ExecStopPost", "ended"))
        ),
        "Restart=always",
        "RestartSec=100ms",
        "KillMode=control-group",
        "KillSignal=SIGTERM",
        "TimeoutStopSec=9",
        "SendSIGKILL=yes",
        "UMask=0027",
        "StandardOutput=journal",
        "StandardError=journal",
        "SyslogIdentifier=e3",
        "LogRateLimitIntervalSec=10s",
        "LogRateLimitBurst=20000",
        "CPUAccounting=yes",
        "IOAccounting=yes",
        "MemoryMax=256M",
        "MemorySwapMax=0",
        "TasksMax=64",
        "CPUQuota=150%",
        "LimitCORE=0",
        "LimitNOFILE=65536",
        "OOMPolicy=stop",
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "AmbientCapabilities=",
        "RestrictSUIDSGID=yes",
        "RestrictNamespaces=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=~@clock @cpu-emulation @keyring @module @mount @obsolete @raw-io @reboot @swap",
        "SystemCallFilter=~acct bpf fanotify_init io_uring_enter io_uring_register io_uring_setup kcmp lookup_dcookie",
        "SystemCallFilter=~open_by_handle_at perf_event_open quotactl syslog userfaultfd",
        "SystemCallErrorNumber=EPERM",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK",
        "SocketBindDeny=tcp:10000-31599",
        "SocketBindAllow=tcp:10033",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "TemporaryFileSystem=/dev/shm:mode=1777,nosuid,nodev,noexec",
        "ProtectProc=invisible",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "PrivateIPC=yes",
        "RemoveIPC=yes",
        "KeyringMode=private",
        "TemporaryFileSystem=/srv/slipway:ro,mode=0755 /run/slipway:ro,mode=0755 /var/lib/slipway:ro,mode=0755 "
        "/var/cache/slipway:ro,mode=0755",
        "InaccessiblePaths=-/etc/slipway -/var/log/slipway",
        "TemporaryFileSystem=/run/systemd:ro,mode=0755",
        "BindReadOnlyPaths=-/run/systemd/resolve",
        "InaccessiblePaths=-/run/systemd/journal -/run/dbus -/run/user",
        "InaccessiblePaths=-/run/snapd.socket -/run/snapd-snap.socket -/run/acpid.socket -/run/docker.sock",
        "InaccessiblePaths=-/run/lock",
        "InaccessiblePaths=-/var/log -/run/log -/var/lib/systemd/coredump",
        "BindPaths=/run/slipway/exits /run/slipway/marks /run/slipway/back-off",
        "BindReadOnlyPaths=/srv/slipway/builds/44",
        "BindReadOnlyPaths=/srv/slipway/launch/3/12.json",
        "BindPaths=/srv/slipway/data/3",
    ]


def test_in_session_mode_nothing_is_asked_that_a_users_manager_cannot_do() -> None:
    text = instance(units(Mode.SESSION, "/home/ann/.slipway"), Account())
    for directive in ("User=", "Group=", "ExecStopPost=+", "BindPaths=", "ProtectSystem=", "TemporaryFileSystem="):
        assert directive not in text
    assert "MemoryMax=256M" in text


def test_work_runs_once_and_keeps_its_result() -> None:
    work = Work(
        unit="slipway-ab12-build-9.service", title="build 9", identifier="build-9", account=Account("b", "r"),
        slice="slipway-ab12-builds.slice", command=("/x/python", "-m", "a.b", "/run/o.json"), limits=Limits(512, 0, 99),
        seconds=60, umask="0022", readable=("/a", "-/b:/c"), writable=("/d",),
    )  # fmt: skip
    text = units().work(work)
    for line in (
        "RemainAfterExit=yes", "Restart=no", "RuntimeMaxSec=60", "ExecStart=/x/python -m a.b /run/o.json",
        "BindReadOnlyPaths=-/b:/c", "BindPaths=/d", "TasksMax=99", "MemoryMax=512M",
    ):  # fmt: skip
        assert line in lines(text)
    assert "CPUQuota" not in text


@pytest.mark.parametrize(
    "value", ["a b", "a\nExecStart=/bin/sh", "a;b", "$(id)", "`id`", "%n", '"', "'", "\\x20", "{", "ü", "\0"]
)
def test_no_value_that_could_mean_anything_else_reaches_a_unit(value: str) -> None:
    with pytest.raises(Invalid):
        TEMPLATES.render("removal.service.j2", folder=value, path="/x", slice="s", user="", group="", isolated=False)
    with pytest.raises(Invalid):
        Words("fine", value)


def test_each_mode_has_its_folder_of_units() -> None:
    runtime = Path("/run/user/1000")
    assert unit_folder(Mode.SERVER, runtime) == Path("/etc/systemd/system")
    assert unit_folder(Mode.LOCAL, runtime) == Path("/etc/systemd/user")
    assert unit_folder(Mode.SESSION, runtime) == Path("/run/user/1000/systemd/user")


def test_on_a_server_what_apps_and_builds_say_has_journals_of_its_own_whose_sockets_no_app_can_reach() -> None:
    text = instance(units(Mode.SERVER), Account("sl-ab12-r3", "sl-ab12-r3"))
    assert "LogNamespace=slipway-ab12-apps" in lines(text)
    for line in (
        "TemporaryFileSystem=/run/systemd:ro,mode=0755",
        "InaccessiblePaths=-/run/systemd/journal -/run/dbus ",
    ):
        assert line in text
    assert "LogNamespace" not in instance(units(), Account("sl-ab12-r3", "sl-ab12-r3"))


def test_what_is_measured_is_looked_at_by_a_user_who_can_change_nothing() -> None:
    folders = (Path("/srv/slipway/builds/4"), Path("/srv/slipway/data/3"))
    text = units().measuring(Account("slipway-check", "slipway-check"), folders, Path("/run/slipway/orders/x.sums"), 9)
    assert "ExecStart=/usr/bin/du --summarize --one-file-system --block-size=1 " + " ".join(map(str, folders)) in text
    assert {"User=slipway-check", "CapabilityBoundingSet=CAP_DAC_READ_SEARCH", "ProtectSystem=strict"} <= set(
        lines(text)
    )
