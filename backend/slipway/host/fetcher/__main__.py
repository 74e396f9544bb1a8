"""`python -I -m slipway.host.fetcher ORDER.json`: exit status 0 when the commit is there, 1 with the reason."""

import resource
import sys
from pathlib import Path

import msgspec

from slipway.host.fetcher.fetch import carry_out
from slipway.host.fetcher.order import FetchOrder
from slipway.plan import END_OF_LOG


def main(argv: list[str]) -> int:
    order = msgspec.json.decode(Path(argv[1]).read_bytes(), type=FetchOrder)
    resource.setrlimit(resource.RLIMIT_FSIZE, (order.max_bytes, order.max_bytes))
    result = carry_out(order)
    if result.reason:
        print(result.reason)
    print(END_OF_LOG, flush=True)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
