"""A malicious app, and a malicious build: tries a list, and tells what succeeded.

    intruder.py serve     an app: answers with what it got at, and with what its build did
    intruder.py build     a build: writes it down
    intruder.py print     anybody: prints it

$FACTS, JSON, is what an intruder may know or guess of the server: another app's numbers, where things lie.
"""

import ctypes
import http.server
import json
import mmap
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress

FACTS = json.loads(os.environ["FACTS"])
libc = ctypes.CDLL(None, use_errno=True)
NR = {"add_key": 248, "bpf": 321, "io_uring_setup": 425, "perf_event_open": 298, "userfaultfd": 323}
"""System calls by number, on x86-64."""
PTRACE_ATTACH = 16
ATTEMPTS = {}


def attempt(function):
    """One of the list: gives what it got at, or nothing."""
    ATTEMPTS[function.__name__] = function
    return function


def readable(paths):
    got = []
    for path in paths:
        with suppress(OSError):
            if os.path.isdir(path):
                got += [path] if os.listdir(path) else []
            else:
                with open(path, "rb") as file:
                    got += [path] if file.read(1) else []
    return got


def connects(path):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        with suppress(OSError), socket.socket(socket.AF_UNIX, kind) as one:
            one.settimeout(2)
            one.connect(path)
            return True
    return False


def reached(address, port):
    with suppress(OSError), socket.create_connection((address, port), timeout=3):
        return True
    return False


def run(*argv, given=""):
    """What a command printed, where it succeeded."""
    with suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=20)
        if done.returncode == 0:
            return done.stdout.strip()[:200] or "it ended well"
    return None


def victims():
    """Processes of other users that can be seen at all."""
    return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if uid_of(pid) not in (None, os.getuid())]


def uid_of(pid):
    with suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid
    return None


# ---- files


@attempt
def others_files():
    return readable(FACTS["secret_paths"])


@attempt
def logs_of_others():
    found = readable(["/var/log/slipway", "/var/log/slipway/access.log", "/var/log/journal", "/run/log/journal",
                      "/var/log/slipway-install.log", "/var/log/dpkg.log"])  # fmt: skip
    return found or run("journalctl", "--no-pager", "--lines=1", "--quiet", "--output=cat")


@attempt
def folders_and_files_to_write_in():
    """By really doing it, everywhere but where it may: what an own folder is, is told by its owner."""
    got = []
    for top, folders, files in os.walk("/", onerror=None):
        if top in ("/proc", "/sys", "/checkout") or top.startswith(tuple(FACTS["own_folders"])):
            folders[:] = []
            continue
        with suppress(OSError):
            handle, name = tempfile.mkstemp(dir=top)
            os.close(handle)
            os.unlink(name)
            got.append(top)
        for name in files:
            path = os.path.join(top, name)
            with suppress(OSError):
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY | os.O_NOFOLLOW))
                    got.append(path)
    return got


@attempt
def hard_links_to_roots_files():
    got = []
    own = os.environ.get("HOME", "/tmp")
    for path in ("/etc/passwd", "/etc/shadow", FACTS["launcher"], "/usr/bin/su"):
        with suppress(OSError):
            os.link(path, os.path.join(own, "hard-link"))
            got.append(path)
        with suppress(OSError):
            os.unlink(os.path.join(own, "hard-link"))
    return got


@attempt
def set_user_id_programs():
    own = os.path.join(os.environ.get("HOME", "/tmp"), "shell")
    got = []
    with suppress(OSError):
        shutil.copyfile("/bin/sh", own)
        os.chmod(own, 0o4755)
        got.append("made one")
    with suppress(OSError):
        os.unlink(own)
    commands = (("sudo", "-n", "true"), ("su", "-c", "true"), ("mount", "-t", "tmpfs", "none", "/mnt"))
    return got + [argv[0] for argv in commands if run(*argv)]


@attempt
def capabilities():
    with open("/proc/self/status") as file:
        lines = dict(line.split(":", 1) for line in file)
    got = [name for name in ("CapPrm", "CapEff", "CapBnd", "CapAmb") if int(lines[name], 16)]
    return got + ([] if lines["NoNewPrivs"].strip() == "1" else ["new privileges"])


@attempt
def namespaces_of_its_own():
    return run("unshare", "--user", "--map-root-user", "true") or run("unshare", "--mount", "true")


# ---- processes


@attempt
def processes_of_others():
    return victims()


@attempt
def variables_of_others():
    return [pid for pid in FACTS["pids"] if readable([f"/proc/{pid}/environ", f"/proc/{pid}/cmdline"])]


@attempt
def files_through_processes():
    got = []
    for pid in [*FACTS["pids"], 1]:
        for name in ("root", "cwd", "exe", "fd"):
            with suppress(OSError):
                got.append(os.readlink(f"/proc/{pid}/{name}") if name != "fd" else os.listdir(f"/proc/{pid}/fd"))
    return got


@attempt
def signals_to_others():
    got = []
    for pid in [*FACTS["pids"], 1]:
        with suppress(OSError):
            os.kill(pid, 0)
            got.append(pid)
    return got


@attempt
def tracing_of_others():
    got = []
    for pid in FACTS["pids"]:
        if libc.ptrace(PTRACE_ATTACH, pid, None, None) == 0:
            os.waitpid(pid, 0)
            libc.ptrace(17, pid, None, None)
            got.append(pid)
        with suppress(OSError):
            os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR))
            got.append(f"memory of {pid}")
    return got


@attempt
def core_dumps():
    return [] if resource.getrlimit(resource.RLIMIT_CORE) == (0, 0) else ["may dump"]


# ---- whoever listens


@attempt
def sockets_of_slipway_and_the_system():
    return [path for path in FACTS["sockets"] if connects(path)]


@attempt
def every_socket_there_is():
    got = []
    for top, _, files in os.walk("/run"):
        for name in files:
            path = os.path.join(top, name)
            with suppress(OSError):
                if stat.S_ISSOCK(os.lstat(path).st_mode) and connects(path):
                    got.append(path)
    return got


@attempt
def ports_of_others():
    own = int(os.environ.get("PORT", "0"))
    return [port for port in FACTS["ports"] if port != own and reached("127.0.0.1", port)]


@attempt
def the_metadata_service():
    return [address for address in FACTS["metadata"] if reached(address, 80)]


@attempt
def the_service_manager():
    commands = (
        ("systemctl", "list-units"), ("systemctl", "stop", FACTS["unit"]), ("systemd-run", "--wait", "true"),
        ("systemctl", "--user", "list-units"), ("systemd-run", "--user", "true"), ("busctl", "list"),
        ("loginctl", "enable-linger"),
    )  # fmt: skip
    return [" ".join(argv) for argv in commands if run(*argv)]


# ---- what is shared by all


@attempt
def tables_of_cron():
    commands = (("crontab", "-"), ("at", "now"))
    return [argv[0] for argv in commands if run(*argv, given="* * * * * id\n")]


@attempt
def the_kernels_log():
    found = run("dmesg")
    with suppress(OSError):
        os.close(os.open("/dev/kmsg", os.O_RDONLY | os.O_NONBLOCK))
        found = "/dev/kmsg"
    return found


@attempt
def calls_into_the_kernel():
    """Those that apps have no need of."""
    got = []
    page = mmap.mmap(-1, 4096)
    for name, number in NR.items():
        arguments = (b"user", b"x", b"y", 1, -3) if name == "add_key" else (0, 0, 0, 0, 0)
        ctypes.set_errno(0)
        if libc.syscall(number, *arguments) >= 0 or ctypes.get_errno() != 1:
            got.append(name)
    page.close()
    return got


@attempt
def control_groups_to_change():
    got = []
    for top, _, files in os.walk("/sys/fs/cgroup"):
        for name in files:
            if name in ("cgroup.procs", "tasks", "memory.max", "memory.limit_in_bytes"):
                with suppress(OSError):
                    os.close(os.open(os.path.join(top, name), os.O_WRONLY))
                    got.append(os.path.join(top, name))
    return got[:5]


@attempt
def words_left_for_others():
    """In every place that all programs of a machine share; root looks for them from outside."""
    for folder in ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue"):
        with suppress(OSError):
            open(f"{folder}/{FACTS['word']}", "w").close()
    queue = libc.mq_open(f"/{FACTS['word']}".encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
    if queue >= 0:
        os.close(queue)
    libc.shmget(FACTS["shared_memory"], 4096, 0o1666)
    return


@attempt
def words_left_by_others():
    folders = ("/tmp", "/var/tmp", "/dev/shm", "/run/lock", "/dev/mqueue")
    got = [folder for folder in folders if os.path.exists(f"{folder}/{FACTS['roots_word']}")]
    return got + (["shared memory"] if libc.shmget(FACTS["roots_shared_memory"], 1, 0) >= 0 else [])


def tried():
    """What succeeded, by name. An attempt that broke is told too: it has tried nothing."""
    got = {}
    for name, function in ATTEMPTS.items():
        try:
            found = function()
        except Exception as error:
            found = f"broke: {error!r}"
        if found:
            got[name] = found
    return got


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        said = ""
        if self.path == "/build":
            with open("built.json") as file:
                said = file.read()
        elif self.path == "/app":
            said = json.dumps(tried())
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.encode())


def main():
    match sys.argv[1]:
        case "serve":
            http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answers).serve_forever()
        case "build":
            with open("built.json", "w") as file:
                json.dump(tried(), file)
        case "print":
            print(json.dumps(tried()))


if __name__ == "__main__":
    main()
