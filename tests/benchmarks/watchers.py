"""The watchers' own process: `python -m tests.benchmarks.watchers SOCKET HOST PATH COUNT`, the token on stdin.

One plain loop over all connections, so that it takes as little as it can of the cores that it shares with the daemon.
It prints JSON: the delay of each `tick` at each watcher in seconds, and how streams broke.
"""

import gc
import json
import resource
import select
import socket
import sys
import time


class Watching:
    def __init__(self, path: str, request: bytes) -> None:
        self._path, self._request = path, request
        self._poll = select.epoll()
        self._open: dict[int, socket.socket] = {}
        self._arrivals: list[tuple[float, bytes]] = []
        self.broken: list[str] = []

    def watch(self, count: int) -> None:
        """Until every stream has ended."""
        for _ in range(count):
            self._connect()
            self._read(timeout=0)
        while self._open:
            self._read(timeout=60)

    def _connect(self) -> None:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        one.connect(self._path)
        one.sendall(self._request)
        self._open[one.fileno()] = one
        self._poll.register(one, select.EPOLLIN)

    def _read(self, timeout: float) -> None:
        ready = self._poll.poll(timeout)
        if not ready and timeout:
            self._let_go_of_all(f"nothing came for {timeout:.0f} s")
        for descriptor, _ in ready:
            chunk = self._open[descriptor].recv(65536)
            self._arrivals.append((time.time(), chunk))
            if not chunk or b"event: end" in chunk:
                self._let_go(descriptor)
                if not chunk:
                    self.broken.append("it ended in the middle")
            elif chunk.startswith(b"HTTP/1.1 ") and not chunk.startswith(b"HTTP/1.1 200 "):
                self._let_go(descriptor)
                self.broken.append(chunk[:100].decode(errors="replace"))

    def _let_go_of_all(self, why: str) -> None:
        for descriptor in list(self._open):
            self._let_go(descriptor)
            self.broken.append(why)

    def _let_go(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._open.pop(descriptor).close()

    def delays(self) -> list[float]:
        return [at - float(word) for at, chunk in self._arrivals for word in _ticks(chunk)]


def _ticks(chunk: bytes) -> list[bytes]:
    """When each `tick` in a piece of the stream was printed."""
    return [part.partition(b'"')[0] for part in chunk.split(b'"text":"tick ')[1:]]


def main() -> None:
    path, host, target, count = sys.argv[1:]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, int(count) + 200)), hard))
    gc.disable()
    request = f"GET {target} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {sys.stdin.read()}\r\n\r\n"
    watching = Watching(path, request.encode())
    watching.watch(int(count))
    print(json.dumps({"delays": watching.delays(), "broken": len(watching.broken), "why": watching.broken[:3]}))


if __name__ == "__main__":
    main()
