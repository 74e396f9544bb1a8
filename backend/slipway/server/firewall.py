"""The firewall rules that are Slipway's own: apps' ports are reached by nginx and Slipway, by nobody else.

Loopback ports are shared by all users of a machine: without these rules an app could ask another one past nginx, or
answer in its place while it restarts. And unless the settings allow it, no app, build or fetch asks the provider's
metadata service, which tells whoever runs on a server how it was set up, and often gives rights over more than it.
One nftables table, loaded whole or not at all; other tables are not touched. Source: nft(8).
"""

from slipway.settings import RESERVED_UIDS, Settings
from slipway.setup.users import OWN_USERS

ALLOWED = ("root", "slipway", "slipway-nginx")
"""The host agent and the machine's owner; the daemon, for health checks; nginx's workers."""

METADATA_IPV4 = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192")
"""Link-local, where nearly all have it, and where Alibaba, Azure and Oracle have theirs."""
METADATA_IPV6 = ("fe80::/10", "fd00:ec2::254", "fd20:ce::254")
"""Link-local, Amazon, Google."""


def table(settings: Settings) -> str:
    return f"slipway_{settings.id}"


def rules(settings: Settings) -> str:
    """What `nft -f` loads: replaces the table where it is there, in one transaction."""
    ports = f"{settings.apps.first_port}-{settings.apps.last_port}"
    name = table(settings)
    asked = f'oifname "lo" tcp dport {ports} tcp flags & (syn | ack) == syn'
    allowed = ", ".join(f'"{user}"' for user in ALLOWED)
    return f"""\
# Written by Slipway; changes here are lost.
table inet {name}
delete table inet {name}
table inet {name} {{
    # From outside, apps are reached through nginx only.
    chain input {{
        type filter hook input priority filter - 5; policy accept;
        iifname != "lo" tcp dport {ports} drop
    }}
    # On loopback only nginx and Slipway may ask them.
    chain output {{
        type filter hook output priority filter - 5; policy accept;
        {asked} meta skuid != {{ {allowed} }} reject with tcp reset
{"" if settings.apps.cloud_metadata else _metadata(settings)}\
    }}
}}
"""


def _metadata(settings: Settings) -> str:
    """What begins there; answers to whoever comes from such an address go out. But for names: some providers'
    resolvers have the same address."""
    first = settings.apps.first_uid
    users = f"{first + OWN_USERS.index('slipway-fetch')}, {first + RESERVED_UIDS}-{first + settings.apps.uids - 1}"
    lines = ["# How this server was set up is no app's business, and its rights are no app's."]
    for family, addresses in (("ip", METADATA_IPV4), ("ip6", METADATA_IPV6)):
        asked = f"meta skuid {{ {users} }} {family} daddr {{ {', '.join(addresses)} }}"
        lines.append(f"{asked} tcp dport != 53 tcp flags & (syn | ack) == syn reject with tcp reset")
        lines.append(f"{asked} udp dport != 53 reject")
    return "".join(f"        {line}\n" for line in lines)
