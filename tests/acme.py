"""A certificate authority that speaks ACME: Debian's `pebble`, which Let's Encrypt tests with, and its name server.

It looks at port 80 of a name, or at another port that it is told, as a real one does; what it signs, nobody trusts
but who was given its root.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.vps import authority

PATIENCE = 20.0


class Acme:
    """Everything listens on loopback, of the network that `enter` leads into."""

    def __init__(
        self, ports: Sequence[int], *, http_port: int, enter: Sequence[str] = (), address: str = "127.0.0.1"
    ) -> None:
        """`ports` are four free ones; `http_port` is where it looks at names; `address` is what they all resolve to."""
        self.folder = Path(tempfile.mkdtemp(prefix="acme-", dir="/var/tmp"))
        authority.make(self.folder, "localhost")
        self._port, self._roots, self._names, self._names_told = ports
        self._http_port, self._enter, self._address = http_port, list(enter), address
        self._processes: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"https://localhost:{self._port}/dir"

    @property
    def trusted(self) -> Path:
        """The authority of the server's own TLS certificate."""
        return self.folder / "authority.pem"

    def start(self, *, seconds: int = 7776000, refused_nonces: int = 0) -> None:
        """`seconds` are what its certificates are good for; `refused_nonces` percent of requests fail for nothing."""
        configuration = {
            "listenAddress": f"127.0.0.1:{self._port}",
            "managementListenAddress": f"127.0.0.1:{self._roots}",
            "certificate": str(self.folder / "certificate.pem"),
            "privateKey": str(self.folder / "key.pem"),
            "httpPort": self._http_port,
            "tlsPort": 443,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            "certificateValidityPeriod": seconds,
        }
        (self.folder / "pebble.json").write_text(json.dumps({"pebble": configuration}))
        environment = {
            **os.environ,
            "PEBBLE_VA_NOSLEEP": "1",
            "PEBBLE_AUTHZREUSE": "0",
            "PEBBLE_WFE_NONCEREJECT": str(refused_nonces),
        }
        dns = [
            "pebble-challtestsrv",
            "-defaultIPv4",
            self._address,
            "-defaultIPv6",
            "",
            "-dns01",
            f"127.0.0.1:{self._names}",
        ]
        dns += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{self._names_told}"]
        pebble = ["pebble", "-config", str(self.folder / "pebble.json"), "-dnsserver", f"127.0.0.1:{self._names}"]
        with (self.folder / "said.log").open("ab") as said:
            for argv in (dns, pebble):
                self._processes.append(
                    subprocess.Popen([*self._enter, *argv], stdout=said, stderr=subprocess.STDOUT, env=environment)
                )
        deadline = time.monotonic() + PATIENCE
        while self._root() is None:
            assert time.monotonic() < deadline, (self.folder / "said.log").read_text()
            time.sleep(0.1)
        with self.root.open("a") as roots:
            roots.write(str(self._root()))

    @property
    def root(self) -> Path:
        """Who trusts this, trusts what it ever signed, though it has another root at each start."""
        return self.folder / "root.pem"

    def let_resolve(self, name: str, *addresses: str) -> None:
        """From now on a name leads to these addresses; to none: it cannot be resolved."""
        self._tell("clear-a", {"host": name})
        self._tell("clear-servfail", {"host": name})
        if addresses:
            self._tell("add-a", {"host": name, "addresses": addresses})
        else:
            self._tell("set-servfail", {"host": name})

    def stop(self) -> None:
        for process in self._processes:
            process.terminate()
            process.wait()
        self._processes.clear()

    def end(self) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def said(self) -> str:
        return (self.folder / "said.log").read_text()

    def _root(self) -> str | None:
        done = self._curl("--cacert", str(self.trusted), f"https://localhost:{self._roots}/roots/0")
        return done if "BEGIN CERTIFICATE" in done else None

    def _tell(self, what: str, about: dict[str, Any]) -> None:
        self._curl("--fail", "--data", json.dumps(about), f"http://127.0.0.1:{self._names_told}/{what}")

    def _curl(self, *arguments: str) -> str:
        argv = [*self._enter, "curl", "--silent", "--max-time", "5", *arguments]
        return subprocess.run(argv, capture_output=True, text=True, check=False).stdout
