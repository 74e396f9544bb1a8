"""`slipway server install`: from a release in /opt/slipway to a panel that answers. Again: repairs, or upgrades."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from slipway import settings as installed
from slipway.errors import Invalid
from slipway.server import address as addresses
from slipway.server import firewall, upgrading
from slipway.server.machine import Machine
from slipway.settings import Certificates, Http, Installation, Mode, Settings
from slipway.setup import certificate, files, starting
from slipway.setup.world import run_in

HTTPS, HTTP = 443, 80
ALL = "*"
SETTINGS = Path("/etc/slipway/slipway.toml")


def install(*, address: str | None, base_domain: str | None, acme_server: str | None, email: str | None) -> None:
    """Raises SlipwayError with what is in the way; what ran before goes on."""
    with _put_back_on_failure():
        settings = _install(_settings(address, base_domain, acme_server, email))
    print(f"address {settings.panel_url}")
    if not certificate.names_own(settings.paths.tls, settings.http.panel).exists():
        print(f"fingerprint {certificate.fingerprint(settings)}")


@contextlib.contextmanager
def _put_back_on_failure() -> Iterator[None]:
    """The settings as they were: the old release refuses what only the new one knows."""
    before = SETTINGS.read_bytes() if SETTINGS.exists() else None
    try:
        yield
    except BaseException:
        if before is not None:
            files.replace(SETTINGS, before, mode=0o644)
        raise


def _install(settings: Settings) -> Settings:
    machine = Machine(settings)
    fresh_code = machine.is_running()
    starting.provision(machine, settings)
    _write_firewall(settings)
    own = f"slipway-{settings.id}"
    run_in(machine, [*machine.systemctl, "daemon-reload"])
    run_in(machine, [*machine.systemctl, "enable", f"{own}.target"])
    with upgrading.put_back_on_failure(machine, settings) if fresh_code else contextlib.nullcontext():
        starting.start_units(machine, settings, fresh_code=fresh_code)
        starting.await_panel(settings.paths.tls, machine, settings)
    return settings


def _settings(address: str | None, base_domain: str | None, acme_server: str | None, email: str | None) -> Settings:
    """Those that are there, changed where asked for, or new ones; on disk when this returns."""
    if SETTINGS.exists():
        settings = installed.load(SETTINGS)
    else:
        listen = address or ALL
        base = base_domain or addresses.name_of(addresses.outward_address() if listen == ALL else listen)
        settings = Settings(
            Installation(files.fresh_id(), Mode.SERVER),
            Http(port=HTTPS, plain_port=HTTP, address=listen, tls=True, base_domain=base, panel=base),
        )
    http = settings.http
    wanted = msgspec.structs.replace(
        settings,
        http=msgspec.structs.replace(
            http,
            address=address or http.address,
            ipv6=(address or http.address) == ALL and Path("/proc/net/if_inet6").exists(),
            base_domain=base_domain or http.base_domain,
            panel=base_domain or http.panel,
        ),
        certificates=_certificates(settings, acme_server, email),
    )
    SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    files.write_settings(SETTINGS, wanted)
    files.make_key(wanted.paths.key)
    return wanted


def _certificates(settings: Settings, acme_server: str | None, email: str | None) -> Certificates:
    """Raises Invalid where an address cannot be one."""
    known = settings.certificates
    wanted = msgspec.structs.replace(known, acme_server=acme_server or known.acme_server, email=email or known.email)
    try:
        return msgspec.convert(msgspec.structs.asdict(wanted), Certificates)
    except msgspec.ValidationError as error:
        raise Invalid(f"that is no address of an authority (https://…), or no e-mail address: {error}") from error


def _write_firewall(settings: Settings) -> None:
    files.replace(settings.paths.firewall, firewall.rules(settings).encode(), mode=0o644)
