"""`python -m slipway.local …`: the same as `slipway local …`."""

import sys

from slipway.local.commands import main

sys.exit(main(sys.argv[1:]))
