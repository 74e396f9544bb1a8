"""Whose port is whose, for a server's firewall (`server/firewall.py`): an environment's run user alone answers there.

The file has the whole of it, from the agent's own records, and takes in the installer's rules: nft puts both in place
of what was there in one transaction, and where it refuses them, what it had before goes on.
"""

from collections.abc import Iterable

import structlog
from pystemd.dbusexc import DBusBaseError

from slipway.errors import HostRefused, SlipwayError
from slipway.host.agent import files
from slipway.host.agent.box import Box
from slipway.host.agent.state import Environment
from slipway.host.written import read, sign
from slipway.settings import Mode, Settings

log = structlog.get_logger()


async def put(box: Box, *more: Environment, again: bool = False) -> None:
    """Have the firewall know the owners on record, and those that are about to be. Raises HostRefused.

    Where the file says so already nothing is done, unless `again`. It stays as it was where it could not be loaded.
    """
    if box.settings.mode is not Mode.SERVER:
        return
    async with box.lock("firewall"):
        file, text = box.paths.owners, wanted_text(box, *more)
        before = read(str(file))
        if before == text and not again:
            return
        files.write(file, text)
        try:
            await box.systemd.reload_or_start(box.names.firewall)
        except (HostRefused, DBusBaseError) as error:
            if before is None:
                files.remove(file)
            else:
                files.write(file, before)
            raise HostRefused(
                f"the firewall could not be told whose port is whose, and a new environment's app would answer nobody: "
                f"{error}. See why: journalctl -u {box.names.firewall}",
                reason="failed",
            ) from error


async def put_at_start(box: Box) -> None:
    """Whatever the last agent came to, another release wrote, or somebody else did to the firewall's tables."""
    try:
        await put(box, again=True)
    except (SlipwayError, OSError) as error:
        log.error("the firewall could not be told whose port is whose", error=str(error))


def wanted_text(box: Box, *more: Environment) -> str:
    return text(box.settings, (*box.state.environments(), *more))


def text(settings: Settings, environments: Iterable[Environment]) -> str:
    elements = []
    for environment in environments:
        if environment.place <= settings.apps.places:  # the settings may have had more of them
            ports = settings.ports(environment.place)
            elements.append(f"    {ports[0]}-{ports[-1]} . {environment.run_uid},\n")
    lines = [f'include "{settings.paths.firewall}"\n']
    if elements:  # nft knows no empty list
        lines += [f"add element inet {settings.firewall_table} owners {{\n", *elements, "}\n"]
    return sign("".join(lines))
