"""The command line: `slipway …`, on the server as root, or anywhere with $SLIPWAY_URL and $SLIPWAY_TOKEN."""


def main(arguments: list[str] | None = None) -> int:
    """→ the exit code (see `slipway.cli.exits`)."""
    from slipway.cli.main import run  # late: `python -m slipway serve` does not need it

    return run(arguments)
