"""The command `bff`, and `python -m bff`."""

import gc
import sys

# What is imported from here on stays: to look for cycles among it again and again is a tenth of the start.
gc.set_threshold(10_000)

from bff.cli.main import main  # noqa: E402 - see above

if __name__ == "__main__":
    sys.exit(main())
