"""An app, and a build of it, that try what only a kernel with control groups v2 and a firewall of its own keeps from
them, and say what came of it: `python3 prober.py build|app FIRST_PORT LAST_PORT ADDRESS:PORT…`
"""

import errno
import os
import socket
import sys
import time


def main() -> None:
    who, first, last, *addresses = sys.argv[1:]
    own = int(os.environ.get("PORT", "0"))
    bound = [port for port in range(int(first), int(last) + 1) if port != own and bind(port) == "bound"]
    print(f"{who} could listen on {len(bound)} of them", flush=True)
    print(f"{who} could listen elsewhere: {bind(int(last) + 7)}", flush=True)
    for address in addresses:
        host, _, port = address.rpartition(":")
        print(f"{who} asked {address}: {ask(host, int(port))}", flush=True)
    listening = [socket.create_server(("127.0.0.1", port)) for port in bound[-1:]] if who == "app" else []
    print(f"{who} listens on {[one.getsockname()[1] for one in listening]}", flush=True)
    print(f"{who} has tried it all", flush=True)
    if who == "app":
        time.sleep(100_000)


def bind(port: int) -> str:
    with socket.socket() as one:
        try:
            one.bind(("127.0.0.1", port))
        except OSError as error:
            return errno.errorcode[error.errno or 0]
    return "bound"


def ask(host: str, port: int) -> str:
    try:
        with socket.create_connection((host, port), timeout=20):
            return "answered"
    except OSError as error:
        return errno.errorcode[error.errno] if error.errno else "no answer"


if __name__ == "__main__":
    main()
