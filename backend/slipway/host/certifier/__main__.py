"""`python -I -m slipway.host.certifier ORDER.json`: exit status 0 when there is a certificate, 1 with the reason."""

import os
import sys
from pathlib import Path

import msgspec

from slipway.host.certifier.obtain import carry_out
from slipway.host.certifier.order import CertificateOrder, result_name


def main(argv: list[str]) -> int:
    order = msgspec.json.decode(Path(argv[1]).read_bytes(), type=CertificateOrder)
    results = Path(order.results)
    result = carry_out(order)
    scratch = results / f".{order.id}.new"
    scratch.write_bytes(msgspec.json.encode(result))
    os.rename(scratch, results / result_name(order.id))
    if result.reason:
        print(result.reason, flush=True)
    return 0 if result.ok else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv))
