"""Certificates of hostnames: obtained by a unit that may use the network (`work`), checked by one that may do nothing,
and only then put where nginx reads them.

`tls/names/<hostname>.pem` holds chain and key in one file, so that one rename changes both. Each server block includes
`nginx/certificates/<hostname>.conf` where that is there: a site need not be written anew when its name gets a
certificate. The pair comes before what names it and goes after it, so that nginx starts after every cut.
"""

import hashlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from slipway.errors import HostRefused, Invalid
from slipway.host.agent import files, results, sites
from slipway.host.agent.box import CHECK_USER, Box
from slipway.host.certifier.order import Facts, result_name
from slipway.host.protocol import (
    CertificateFacts,
    Done,
    Drifted,
    DriftKind,
    InstallCertificate,
    RemoveCertificate,
    Thing,
    WantedCertificate,
)
from slipway.host.written import read, read_bytes

MAX_FACTS = 4096
MAX_PAIR = 1024 * 1024
MAX_CERTIFICATES = 8
"""In one chain."""
_BLOCK = r"-----BEGIN {0}-----\n(?:[A-Za-z0-9+/=]{{1,76}}\n){{1,200}}-----END {0}-----\n"
_CHAIN = re.compile(rf"(?:\n*{_BLOCK.format('CERTIFICATE')}){{1,{MAX_CERTIFICATES}}}\n*")
_KEY = re.compile(_BLOCK.format("(?:EC )?PRIVATE KEY"))


async def install(box: Box, verb: InstallCertificate) -> CertificateFacts:
    """Put what certbot left into place, if it is what it should be; nginx serves it when this answers."""
    sites.check_hostname(verb.hostname)
    pair = _pair(box, verb.id)
    facts = await _check(box, verb.hostname, pair)
    pem, name_it = pair_file(box, verb.hostname), _snippet(box, verb.hostname)
    async with box.lock("nginx"):
        last_good = read_bytes(str(pem), MAX_PAIR)
        if verb.replaces and os.path.lexists(pem) and (last_good is None or _digest(last_good) != verb.replaces):
            box.keep(pem)
        files.write(pem, pair, mode=0o600)
        files.write(name_it, _naming(box, pem))
        try:
            await sites.activate(box)
        except HostRefused:
            if last_good is None:
                _remove(box, verb.hostname)
            else:
                files.write(pem, last_good, mode=0o600)
            raise
    issuer = results.line(facts.issuer)
    digest = _digest(pair.encode())
    return CertificateFacts(verb.hostname, issuer, facts.serial, facts.not_before, facts.not_after, digest)


async def remove_verb(box: Box, verb: RemoveCertificate) -> Done:
    """nginx is not told: what it holds in memory goes with its site, or with the next reload."""
    sites.check_hostname(verb.hostname)
    async with box.lock("nginx"):
        for file in (_snippet(box, verb.hostname), pair_file(box, verb.hostname)):
            if verb.keeps and os.path.lexists(file):
                box.keep(file)
        _remove(box, verb.hostname)
    return Done()


def drift(box: Box, wanted: Iterable[WantedCertificate]) -> Iterator[Drifted]:
    """How the files of all hostnames' certificates differ from what is accounted for."""
    known = {one.hostname: one for one in wanted}
    for folder, ending in ((box.paths.certificates, ".pem"), (_snippets(box), ".conf")):
        for file in sorted(folder.iterdir()) if folder.is_dir() else ():
            name = file.name.removesuffix(ending) if file.name.endswith(ending) else ""
            if name in known or file.name.startswith("."):
                continue
            is_ours = sites.HOSTNAME.fullmatch(name) and stat.S_ISREG(file.lstat().st_mode)
            yield Drifted(DriftKind.ORPHAN if is_ours else DriftKind.FOREIGN, Thing.CERTIFICATE, str(file))
    for hostname, one in known.items():
        if one.is_there:
            yield from _differences(box, hostname, one.digest)


def _differences(box: Box, hostname: str, digest: str | None) -> Iterator[Drifted]:
    pem, name_it = pair_file(box, hostname), _snippet(box, hostname)
    for file in (pem, name_it):
        if not os.path.lexists(file):
            yield Drifted(DriftKind.MISSING, Thing.CERTIFICATE, str(file))
            return
    pair = read_bytes(str(pem), MAX_PAIR)
    if pair is None or digest not in (None, _digest(pair)):
        detail = "it holds a key, so that what was changed is not shown"
        yield Drifted(DriftKind.CHANGED, Thing.CERTIFICATE, str(pem), detail=detail)
    if read(str(name_it)) != _naming(box, pem):
        yield Drifted(DriftKind.CHANGED, Thing.CERTIFICATE, str(name_it), detail=f"it does not just name {pem}")


def pair_file(box: Box, hostname: str) -> Path:
    return box.paths.certificates / f"{hostname}.pem"


def forget_result(box: Box, number: int) -> None:
    files.remove_hostile(box.paths.certbot / "results", result_name(number))


def _naming(box: Box, pem: Path) -> str:
    """What has nginx use a pair for the name in whose server block it is included."""
    return box.templates.render("certificate.conf.j2", pair=pem)


def _digest(pair: bytes) -> str:
    return hashlib.sha256(pair).hexdigest()


def _remove(box: Box, hostname: str) -> None:
    files.remove(_snippet(box, hostname))
    files.remove(pair_file(box, hostname))


def _snippets(box: Box) -> Path:
    return box.paths.nginx / "certificates"


def _snippet(box: Box, hostname: str) -> Path:
    return _snippets(box) / f"{hostname}.conf"


def _pair(box: Box, number: int) -> str:
    """Chain and key as certbot's user left them, if they are nothing but that. Raises HostRefused."""
    try:
        result = results.read_certificate(box, number)
    except (OSError, Invalid, *files.UNREADABLE) as error:
        raise HostRefused(f"there is no certificate to be installed: {error}", reason="conflict") from error
    if not result.ok or not _CHAIN.fullmatch(result.chain) or not _KEY.fullmatch(result.key):
        raise HostRefused("what certbot left is not a chain of certificates and a key", reason="failed")
    return result.chain + result.key


async def _check(box: Box, hostname: str, pair: str) -> Facts:
    """Have the pair read by a user who can do nothing else. Raises HostRefused with what is wrong with it."""
    number = box.state.next_number()
    unit = box.names.pair_check(number)
    staged, output = box.paths.orders / f"{unit}.pem", box.paths.orders / f"{unit}.words"
    command = (str(box.units.python), "-I", "-m", "slipway.host.pair_checker", str(staged), hostname)
    try:
        files.write(staged, pair, mode=0o640, group=box.group(CHECK_USER))
        files.write(output, "", mode=0o600)
        text = box.units.check(f"check certificate {number}", box.own_account(CHECK_USER), command, output)
        box.put_unit(unit, text)
        try:
            await box.systemd.start(unit)
        except HostRefused as error:
            words = results.line(output.read_text(errors="replace"), results.MAX_REASON)
            raise HostRefused(f"The new certificate is not used: {words or error}", reason="failed") from error
        with output.open("rb") as facts:
            return msgspec.json.decode(facts.read(MAX_FACTS), type=Facts)
    except files.UNREADABLE as error:
        raise HostRefused(f"what the new certificate holds could not be found out: {error}") from error
    finally:
        box.remove_unit(unit)
        for file in (staged, output):
            files.remove(file)
