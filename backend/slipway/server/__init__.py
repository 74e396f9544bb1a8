"""A server of Slipway's own: the machine's systemd, its ports 80 and 443, its firewall."""


def main(argv: list[str]) -> int:
    """`slipway server …`, as install.sh calls it. Exit codes: 0 done, 1 failed and said why, 2 wrong usage."""
    from slipway.server import commands  # late: nothing else needs them

    return commands.main(argv)
