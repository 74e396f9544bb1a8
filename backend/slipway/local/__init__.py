"""Local mode: the whole of Slipway inside one state folder, on any Linux machine, beside anything else.

As root the folder is bound onto the production paths in a mount namespace of its own, where a private, real
systemd runs: paths, users and units are the same as on a server. Otherwise the login session's own
`systemd --user` runs everything as one user.
"""


def main(argv: list[str]) -> int:
    """`slipway local …`. Exit codes: 0 done, 1 failed and said why, 2 wrong usage."""
    from slipway.local import commands  # late: the programs in this package are run by `python -m`

    return commands.main(argv)
