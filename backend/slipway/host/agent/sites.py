"""nginx's sites: rendered, read alone by an nginx that can do nothing, activated, and confirmed by asking nginx."""

import asyncio
import contextlib
import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from pystemd.dbusexc import DBusBaseError

from slipway.errors import HostRefused
from slipway.host.agent import files
from slipway.host.agent.box import CHECK_USER, Box
from slipway.host.agent.templates import Words
from slipway.host.protocol import Done, PutSite, RemoveSite
from slipway.host.written import is_own, read, sign, signature
from slipway.settings import SLOTS

HOSTNAME = re.compile(
    r"(?=.{1,253}\Z)(?!.*\.\.)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
)
CONFIRM_SECONDS = 10.0
SITES_PER_SECOND = 20
"""Read by nginx at the very least, on a machine with much else to do: so much longer is it waited for."""
ASK_AGAIN_SECONDS = 0.01
MAX_WORDS = 2000
"""Characters of nginx's own words in a refusal."""
OWN_NAME = "nginx.slipway.internal"
ASK = f"GET /configuration HTTP/1.0\r\nHost: {OWN_NAME}\r\n\r\n".encode()


async def put(box: Box, verb: PutSite) -> Done:
    environment = box.state.at_place(verb.environment, verb.place)
    for hostname in verb.hostnames:
        check_hostname_of_app(box, hostname)
    text = wanted_text(box, verb)
    async with box.lock("nginx"):
        there = read(str(site_file(box, environment.environment)))
        # Where it has nothing new to say, what a person changed stays: it is reported, and mended when asked for.
        if there is not None and signature(there) == signature(text) and await _serves_what_is_written(box):
            return Done()
        await _check(box, verb)
        await _replace(box, {environment.environment: text})
    return Done()


def check_hostname(hostname: str) -> None:
    if not HOSTNAME.fullmatch(hostname):
        raise HostRefused(f"{hostname[:80]!r} is not a host name", reason="invalid")


def check_hostname_of_app(box: Box, hostname: str) -> None:
    check_hostname(hostname)
    if hostname in (box.settings.http.panel, OWN_NAME):
        raise HostRefused(f"{hostname} is Slipway's own name, and no app's", reason="invalid")


async def put_all(box: Box, texts: dict[int, str]) -> None:
    """Write sites that Slipway wrote before or that are gone, all with one reload. Raises HostRefused; then none is."""
    async with box.lock("nginx"):
        await _replace(box, texts)


async def _replace(box: Box, texts: dict[int, str]) -> None:
    before: dict[int, str | None] = {number: read(str(site_file(box, number))) for number in texts}
    for number, text in texts.items():
        if (old := before[number]) is not None and not is_own(old):
            box.keep(site_file(box, number))
        files.write(site_file(box, number), text)
    try:
        await activate(box)
    except HostRefused:
        for number, old in before.items():
            if old is None:
                files.remove(site_file(box, number))
            else:
                files.write(site_file(box, number), old)
        raise
    for number, text in texts.items():
        files.write(box.paths.good_sites / f"{number}.conf", text)


async def read_again(box: Box) -> None:
    """Have nginx serve what lies there now."""
    async with box.lock("nginx"):
        await activate(box)


async def remove_verb(box: Box, verb: RemoveSite) -> Done:
    await remove(box, verb.environment)
    return Done()


async def remove(box: Box, environment: int) -> None:
    file = site_file(box, environment)
    async with box.lock("nginx"):
        files.remove(box.paths.good_sites / file.name)
        if os.path.lexists(file):
            files.remove(file)
            await activate(box)


def wanted_text(box: Box, verb: PutSite) -> str:
    """The site as it lies in nginx's folder."""
    return site_text(box, verb, listens=_listens(box), listens_ipv6=_listens_ipv6(box))


def site_text(
    box: Box,
    verb: PutSite,
    *,
    listens: list[Words],
    listens_ipv6: Sequence[Words] = (),
    certificates: Path | None = None,
) -> str:
    """The site as nginx reads it, signed. Every slot's upstream is in it, so that a switch needs no new text.

    `listens` are addresses or ports; `listens_ipv6` ports, on all addresses; `certificates` is another folder than
    nginx's own of what names the hostnames' certificates.
    """
    slots = [
        {"number": slot, "ports": [box.settings.port(verb.place, slot, rank) for rank in range(verb.web_count)]}
        for slot in SLOTS
    ]
    text = box.templates.render(
        "site.conf.j2",
        environment=verb.environment,
        place=verb.place,
        slots=slots,
        listens=listens,
        listens_ipv6=listens_ipv6,
        hostnames=sorted(set(verb.hostnames)),
        certificates=certificates or box.paths.nginx / "certificates",
        live=box.paths.live,
        snippets=box.paths.nginx / "snippets",
    )
    return sign(text)


def _listens(box: Box) -> list[Words]:
    http = box.settings.http
    address = f"{http.listen_prefix}{http.port}"
    return [Words(address, "ssl") if http.tls else Words(address), Words(f"unix:{box.paths.nginx_socket}")]


def _listens_ipv6(box: Box) -> list[Words]:
    http = box.settings.http
    if not http.ipv6:
        return []
    return [Words(http.port, "ssl") if http.tls else Words(http.port)]


async def _check(box: Box, verb: PutSite) -> None:
    """Have an nginx of its own, as a user who can do nothing, read the new site alone. Raises HostRefused."""
    staged = box.paths.nginx / "staged" / str(verb.environment)
    files.make_folder(staged, mode=0o755)
    site, configuration, output = staged / "site.conf", staged / "nginx.conf", staged / "words"
    # The unit's own /tmp, where it has one.
    scratch = Path("/tmp") if box.settings.switches_users else staged / "scratch"  # noqa: S108
    if not box.settings.switches_users:
        scratch.mkdir(exist_ok=True)
    # Keys are not for this user to read: the names' own certificates are left out.
    files.write(site, site_text(box, verb, listens=[Words(f"unix:{scratch}/check.sock")], certificates=staged))
    files.write(configuration, box.templates.render("check.conf.j2", site=site, scratch=scratch))
    files.write(output, "")
    unit = box.names.site_check(verb.environment, box.state.next_number())
    command = ("/usr/sbin/nginx", "-t", "-q", "-e", "stderr", "-c", str(configuration))
    title = f"check site of environment {verb.environment}"
    box.put_unit(unit, box.units.check(title, box.own_account(CHECK_USER), command, output))
    try:
        await box.systemd.start(unit)
    except HostRefused as error:
        words = output.read_text(errors="replace").strip()[:MAX_WORDS]
        raise HostRefused(
            f"nginx refuses the new site, the old one stays: {words or error}", reason="failed"
        ) from error
    finally:
        box.remove_unit(unit)
        # A folder of root's own, or of the one user that there is.
        shutil.rmtree(staged)


async def activate(box: Box) -> None:
    """Have nginx read its configuration, and wait until it is the new one that answers. Raises HostRefused."""
    number = box.state.next_number()
    old = _workers(box)
    files.write(box.paths.nginx / "generation.conf", f'return 200 "{number}\\n";\n')
    try:
        await box.systemd.reload(box.names.nginx)
    except DBusBaseError as error:
        raise HostRefused(f"nginx does not run, so no site can be changed: {error}", reason="unavailable") from error
    sites = len(os.listdir(box.paths.nginx / "sites"))
    deadline = asyncio.get_running_loop().time() + CONFIRM_SECONDS + sites / SITES_PER_SECOND
    # For a tenth of a second nginx's old workers take requests beside the new ones, and may answer as before.
    while _take_requests(old) or await _ask(box) != str(number):
        if asyncio.get_running_loop().time() > deadline:
            raise HostRefused(
                "nginx was told to read its new configuration and still serves the old one; "
                "its error log says why (nginx-error.log)",
                reason="failed",
            )
        await asyncio.sleep(ASK_AGAIN_SECONDS)


def _workers(box: Box) -> list[int]:
    """Those of nginx now, as pids; none where it does not run."""
    try:
        master = int((box.paths.run / "nginx.pid").read_text())
        return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]
    except (OSError, ValueError):
        return []


def _take_requests(workers: list[int]) -> bool:
    """Whether one of them still does. A worker that was told to go names itself so, and closes what it listens on."""
    for pid in workers:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(b"nginx: worker process\0"):
                return True
    return False


async def _serves_what_is_written(box: Box) -> bool:
    """False after an agent died between writing a site and the reload."""
    with contextlib.suppress(FileNotFoundError):
        written = (box.paths.nginx / "generation.conf").read_text()
        return f'"{await _ask(box)}\\n"' in written
    return False


async def _ask(box: Box) -> str | None:
    """The number of the configuration that nginx serves, by its own answer; None when it gives none."""
    try:
        async with asyncio.timeout(2):
            reader, writer = await asyncio.open_unix_connection(str(box.paths.nginx_socket))
            try:
                writer.write(ASK)
                answer = await reader.read(4096)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    return body.strip() if " 200 " in head.partition("\r\n")[0] else None


def site_file(box: Box, environment: int) -> Path:
    return box.paths.nginx / "sites" / f"{environment}.conf"
