"""Bringing an installation's units up, and waiting for its panel."""

import http.client
import socket
import ssl
import subprocess
import time
from pathlib import Path

from slipway.errors import Unavailable
from slipway.settings import Mode, Settings
from slipway.setup import certificate
from slipway.setup.world import World, run_in

_PANEL_PATIENCE = 60.0
"""Seconds from the start of the units until the panel answers."""
_LONGEST_LINE = 400


def provision(world: World, settings: Settings) -> None:
    """Make all that the units need, in the world and by the release that is to run."""
    python = str(settings.paths.current / "venv/bin/python")
    run_in(world, [python, "-I", "-m", "slipway.setup.provision", str(world.units)])


def start_units(world: World, settings: Settings, *, fresh_code: bool) -> None:
    """Start what does not run; with `fresh_code`, make what runs take it up too. Raises Unavailable with the reason."""
    own = f"slipway-{settings.id}"
    steps = [["daemon-reload"], ["start", f"{own}.target"]]
    if fresh_code:
        steps[1:1] = [
            ["restart", f"{own}-migrate.service"],
            ["try-restart", f"{own}-host.service", f"{own}-daemon.service"],
            ["reload", f"{own}-nginx.service"],
        ]
    try:
        for step in steps:
            run_in(world, [*world.systemctl, *step])
    except Unavailable as error:
        # systemctl only says that it failed.
        raise Unavailable(f"{error.message}\nWhat the units said last:\n{journal_tail(world, settings)}") from error


def await_panel(tls: Path, world: World, settings: Settings) -> None:
    """Wait until the panel answers; `tls` is where its certificate is seen from here. Raises Unavailable."""
    deadline = time.monotonic() + _PANEL_PATIENCE
    answer = "nothing yet"
    while time.monotonic() < deadline:
        answer = _ask_panel(tls, settings)
        if answer == "200":
            return
        time.sleep(0.1)
    raise Unavailable(
        f"the panel at {settings.panel_url} does not answer ({answer}). What its units said last:\n"
        f"{journal_tail(world, settings)}"
    )


def _ask_panel(tls: Path, settings: Settings) -> str:
    connection = _connection(tls, settings)
    try:
        connection.request("GET", "/api/ping", headers={"Host": settings.panel_url.partition("//")[2]})
        return str(connection.getresponse().status)
    except (OSError, http.client.HTTPException) as error:
        return str(error)
    finally:
        connection.close()


def _connection(tls: Path, settings: Settings) -> http.client.HTTPConnection:
    address, port = settings.http.reached_at, settings.http.port
    if not settings.http.tls:
        return http.client.HTTPConnection(address, port, timeout=5)
    own = (tls / "certificate.pem", certificate.names_own(tls, settings.http.panel))
    expected = [_first_certificate(file) for file in own if file.exists()]
    return _ByName(address, port, timeout=5, name=settings.http.panel, expected=expected)


def _first_certificate(file: Path) -> bytes:
    """As it goes over the wire."""
    end = "-----END CERTIFICATE-----"
    return ssl.PEM_cert_to_DER_cert(file.read_text().partition(end)[0].strip() + f"\n{end}\n")


class _ByName(http.client.HTTPSConnection):
    """Connects to an address and asks for a server name there, whatever that name resolves to.

    Believes the certificates that it was given, whoever signed them and however old they are, and no other.
    """

    def __init__(self, address: str, port: int, *, timeout: float, name: str, expected: list[bytes]) -> None:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        super().__init__(address, port, timeout=timeout, context=context)
        self._tls, self._name, self._expected = context, name, expected

    def connect(self) -> None:
        plain = socket.create_connection((self.host, self.port), self.timeout)
        encrypted = self._tls.wrap_socket(plain, server_hostname=self._name)
        if encrypted.getpeercert(binary_form=True) not in self._expected:
            encrypted.close()
            raise OSError("it shows another certificate than its own")
        self.sock = encrypted


def journal_tail(world: World, settings: Settings, *, lines: int = 60) -> str:
    """What the installation's own units said last."""
    said_by = "_SYSTEMD_USER_UNIT" if world.mode is Mode.SESSION else "_SYSTEMD_UNIT"
    units = [f"slipway-{settings.id}-{name}.service" for name in ("postgresql", "migrate", "nginx", "host", "daemon")]
    matches = [f"{said_by}={unit}" for unit in units]
    # What systemd says about them: why one could not be started at all.
    for said_about in ("UNIT", "USER_UNIT"):
        matches += ["+", *(f"{said_about}={unit}" for unit in units)]
    read = ["journalctl", "--no-pager", "--output=short", f"--lines={lines}", "--quiet", *matches]
    said = subprocess.run(world.entering(read), capture_output=True, text=True, check=False).stdout
    return "\n".join(line[:_LONGEST_LINE] for line in said.splitlines())
