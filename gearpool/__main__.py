"""``python -m gearpool`` is the command ``gearpool``."""

import sys

from gearpool.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
