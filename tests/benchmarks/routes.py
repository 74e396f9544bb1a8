"""What finding the live slot costs nginx: each way beside a fixed upstream, at 10 and at 1,000 environments.

`python tests/benchmarks/routes.py [SECONDS] [ENVIRONMENTS…]` prints requests a second on a 1 kB response (one worker,
64 connections of wrk), the ratio to the fixed upstream of the same round, the worker's processor time for a request,
and nginx's memory (PSS of master and worker). On a busy machine the processor time is the figure to trust.
Needs nginx and wrk; listens on loopback only.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FRONT, BACK = 28181, 28182
ROUNDS = 5
SLOTS = (1, 2, 3)
LIVE_SLOT = 2
HEAD = """daemon off; worker_processes 1; pid {folder}/{name}.pid; error_log {folder}/{name}.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off; server_names_hash_max_size 16384; server_names_hash_bucket_size 256;
    variables_hash_max_size 4096; keepalive_requests 1000000;
    client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
    uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
"""


def upstreams(environment: int) -> str:
    return "".join(
        f"    upstream e{environment}_{slot} {{\n"
        f"        server 127.0.0.1:{BACK} max_fails=0; keepalive 32; keepalive_timeout 1s;\n    }}\n"
        for slot in SLOTS
    )


def fixed(environment: int, live: Path) -> str:
    return f"location / {{ proxy_pass http://e{environment}_{LIVE_SLOT}; }}"


def conditions(environment: int, live: Path) -> str:
    """A chain of `if (-f …)`, each with its own upstream, twice over."""
    chain = "".join(
        f"if (-f {live}/{environment}.{slot}) {{ proxy_pass http://e{environment}_{slot}; break; }}\n" for slot in SLOTS
    )
    return f"location / {{ {chain * 2} return 503; }}"


def named(environment: int, live: Path) -> str:
    """A chain of `if (-f …) { return …; }` and named locations, twice over."""
    chain = "".join(f"if (-f {live}/{environment}.{slot}) {{ return {470 + slot}; }}\n" for slot in SLOTS)
    pages = "".join(f"error_page {470 + slot} = @s{slot};\n" for slot in SLOTS)
    places = "".join(f"location @s{slot} {{ proxy_pass http://e{environment}_{slot}; }}\n" for slot in SLOTS)
    return f"location / {{ {pages} {chain * 2} return 503; }} {places}"


def resolved(environment: int, live: Path) -> str:
    """`$realpath_root` of a link, and named locations."""
    choices = "".join(f"if ($slot = {slot}) {{ return {470 + slot}; }}\n" for slot in SLOTS)
    pages = "".join(f"error_page {470 + slot} = @s{slot};\n" for slot in SLOTS)
    places = "".join(f"location @s{slot} {{ proxy_pass http://e{environment}_{slot}; }}\n" for slot in SLOTS)
    return f"root {live}/{environment}; location / {{ {pages} {choices} return 503; }} {places}"


CANDIDATES = {"fixed": fixed, "conditions": conditions, "named": named, "resolved": resolved}


def configuration(folder: Path, name: str, environments: int) -> str:
    live = folder / "live"
    text = HEAD.format(folder=folder, name=name) + '    map $realpath_root $slot { default ""; "~/([0-9])$" $1; }\n'
    for environment in range(1, environments + 1):
        text += upstreams(environment)
        text += (
            f"    server {{ listen 127.0.0.1:{FRONT}; server_name e{environment}.test; open_file_cache off;\n"
            f"    {CANDIDATES[name](environment, live)} }}\n"
        )
    return text + "}\n"


@contextmanager
def nginx(folder: Path, name: str, text: str) -> Iterator[int]:
    file = folder / f"{name}.conf"
    file.write_text(text)
    process = subprocess.Popen(["nginx", "-e", str(folder / f"{name}.log"), "-c", str(file)])
    try:
        time.sleep(1.5)
        if process.poll() is not None:
            raise SystemExit((folder / f"{name}.log").read_text())
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def requests_a_second(environment: int, seconds: int) -> float:
    said = subprocess.run(
        ["wrk", "-t1", "-c64", f"-d{seconds}s", "-H", f"Host: e{environment}.test", f"http://127.0.0.1:{FRONT}/"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    if "Non-2xx" in said:
        raise SystemExit(said)
    return float(said.split("Requests/sec:")[1].split()[0])


def worker_seconds(master: int) -> float:
    """Processor time that the worker used so far."""
    worker = Path(f"/proc/{master}/task/{master}/children").read_text().split()[0]
    fields = Path(f"/proc/{worker}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(master: int) -> float:
    """PSS of master and worker, in MiB."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    total = 0
    for pid in [str(master), *children]:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
    return total / 1024


def measure(folder: Path, environments: int, seconds: int) -> None:
    live = folder / "live"
    live.mkdir(exist_ok=True)
    for environment in range(1, environments + 1):
        (live / f"{environment}.{LIVE_SLOT}").touch()
        target = folder / "slots" / f"e{environment}" / str(LIVE_SLOT)
        target.mkdir(parents=True, exist_ok=True)
        if not (live / str(environment)).is_symlink():
            (live / str(environment)).symlink_to(target)
    speeds: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    costs: dict[str, list[float]] = {name: [] for name in CANDIDATES}
    sizes: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name in CANDIDATES:
            with nginx(folder, name, configuration(folder, name, environments)) as master:
                before = worker_seconds(master)
                speeds[name].append(requests_a_second(environments, seconds))
                used = worker_seconds(master) - before
                costs[name].append(used / (speeds[name][-1] * seconds) * 1e6)
                sizes[name] = memory(master)
    for name, found in speeds.items():
        ratio = statistics.median(one / other for one, other in zip(found, speeds["fixed"], strict=True))
        print(
            f"{environments:5} environments  {name:10} {statistics.median(found):8.0f} requests/s  "
            f"{ratio:.2f} of fixed  {statistics.median(costs[name]):5.1f} µs a request  {sizes[name]:6.1f} MiB",
            flush=True,
        )


def main() -> None:
    seconds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        body = "x" * 1024
        back = (
            HEAD.format(folder=folder, name="back") + f'server {{ listen 127.0.0.1:{BACK}; return 200 "{body}"; }} }}\n'
        )
        with nginx(folder, "back", back):
            for environments in [int(count) for count in sys.argv[2:]] or (10, 1000):
                measure(folder, environments, seconds)


if __name__ == "__main__":
    main()
