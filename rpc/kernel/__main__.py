"""``python -m pinfut.rpc.kernel``: what the kernel promises, and what it measures."""

from __future__ import annotations

import sys

from pinfut.rpc.kernel.hostile.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
