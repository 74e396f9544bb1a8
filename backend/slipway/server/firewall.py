"""The firewall rules that are Slipway's own: apps' ports are reached by nginx and Slipway, by nobody else.

Loopback ports are shared by all users of a machine: without these rules an app could ask another one past nginx, or
answer in its place while it restarts. One nftables table, loaded whole or not at all; other tables are not touched.
Source: nft(8).
"""

from slipway.settings import Settings

ALLOWED = ("root", "slipway", "slipway-nginx")
"""The host agent and the machine's owner; the daemon, for health checks; nginx's workers."""


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
    }}
}}
"""
