"""`python -m slipway`: the two programs, the schema, local mode, a server; everything else is the command line.

Each branch imports only what it runs: the host agent never loads the web, nor the daemon pystemd.
"""

import sys


def main(arguments: list[str] | None = None) -> int:
    """→ the exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    match arguments[:1]:
        case ["serve"]:
            from slipway.app import serve

            return serve()
        case ["host"]:
            from slipway.host.agent import main as host

            return host()
        case ["migrate"]:
            from slipway.app import migrate

            return migrate()
        case ["local"]:
            from slipway.local import main as local

            return local(arguments[1:])
        case ["server"]:
            from slipway.server import main as server

            return server(arguments[1:])
        case _:
            from slipway.cli import main as cli

            return cli(arguments)


if __name__ == "__main__":
    sys.exit(main())
