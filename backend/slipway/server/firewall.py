"""The firewall rules that are Slipway's own: apps' ports are reached by nginx and Slipway, by nobody else.

Loopback ports are shared by all users of a machine: without these rules an app could ask another one past nginx, or
answer in its place while it restarts. And unless the settings allow it, no app, build or fetch asks the provider's
metadata service, which tells whoever runs on a server how it was set up, and often gives rights over more than it.
One nftables table, loaded whole or not at all; other tables are not touched. Source: nft(8).

Whose port is whose is the host agent's to say (`host/agent/owners.py`): these rules by themselves have nobody answer.
"""

from slipway.settings import RESERVED_UIDS, Settings
from slipway.setup.users import OWN_USERS

ALLOWED = ("root", "slipway", "slipway-nginx")
"""The host agent and the machine's owner; the daemon, for health checks; nginx's workers."""

METADATA_IPV4 = ("169.254.0.0/16", "100.100.100.200", "168.63.129.16", "192.0.0.192")
"""Link-local, where nearly all have it, and where Alibaba, Azure and Oracle have theirs."""
METADATA_IPV6 = ("fe80::/10", "fd00:ec2::254", "fd20:ce::254")
"""Link-local, Amazon, Google."""


def rules(settings: Settings) -> str:
    """What `nft -f` loads: replaces the table where it is there, in one transaction."""
    ports = f"{settings.apps.first_port}-{settings.apps.last_port}"
    name = settings.firewall_table
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
    # Ports of apps, and the users that answer on them.
    set owners {{
        type inet_service . uid
        flags interval
    }}
    # Whoever else listens on one, or begins from one what nginx begins just then, never has a connection: he could be
    # sent what is another app's. The owner is that of the socket that listens. Where the kernel answers by a SYN cookie
    # it names none: nginx then tries again.
    chain answers {{
        meta skuid "root" return
        tcp sport . meta skuid @owners return
        drop
    }}
    # On loopback only nginx and Slipway may ask them.
    chain output {{
        type filter hook output priority filter - 5; policy accept;
        {asked} meta skuid != {{ {allowed} }} reject with tcp reset
        oifname "lo" tcp sport {ports} tcp flags & syn == syn jump answers
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
