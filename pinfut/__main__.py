"""``python -m pinfut``: the command `pinfut`."""

import sys

from pinfut.command.main import main

if __name__ == "__main__":
    sys.exit(main())
