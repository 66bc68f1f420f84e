"""`python -m bff`."""

import sys

from bff.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
