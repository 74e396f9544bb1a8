"""`slipway server …`: what install.sh calls once a release lies in /opt/slipway, and what a server's own units run."""

import argparse
import sys

from slipway.errors import SlipwayError
from slipway.server.installing import install
from slipway.server.uninstalling import uninstall
from slipway.server.updates import look_for_updates


def main(argv: list[str]) -> int:
    arguments = _parser().parse_args(argv)
    try:
        if arguments.verb == "install":
            install(
                address=arguments.listen,
                base_domain=arguments.base,
                acme_server=arguments.acme_server,
                email=arguments.email,
            )
        elif arguments.verb == "look-for-updates":
            look_for_updates()
        else:
            uninstall()
    except SlipwayError as error:
        print(f"slipway: {error.message}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="slipway server", description="Slipway on this server.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    installing = verbs.add_parser("install", help="install, repair or upgrade, with the release in /opt/slipway")
    installing.add_argument("--listen", metavar="ADDRESS", help="the address that nginx listens on; all if not given")
    installing.add_argument(
        "--base", metavar="DOMAIN", help="the panel's name, and what apps' names end with; one of the server's address"
    )
    installing.add_argument("--acme-server", metavar="URL", help="the certificate authority's; else Let's Encrypt's")
    installing.add_argument("--email", metavar="ADDRESS", help="where the certificate authority writes to")
    verbs.add_parser("uninstall", help="stop Slipway and remove its units; install.sh does the rest")
    verbs.add_parser("look-for-updates", help="find out which updates the operating system has (needs no root)")
    return parser
