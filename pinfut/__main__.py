"""The command `pinfut`: what is installed, and the laws of polling."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence

import pinfut
from pinfut.laws import LAWS, checked_by_default


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`; its exit status."""
    parser = argparse.ArgumentParser(
        prog="pinfut", description="A coroutine runtime in which memory is part of the contract."
    )
    parser.add_argument("--version", action="version", version=f"pinfut {pinfut.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="versions, and whether checked mode is on")
    commands.add_parser("laws", help="the eight laws of polling")
    chosen = parser.parse_args(argv)
    if chosen.command == "laws":
        for number, law in LAWS.items():
            print(f"{number}. {law}")
    else:
        print(f"pinfut {pinfut.__version__}")
        print(f"{platform.python_implementation()} {platform.python_version()}")
        print(f"checked mode: {'on' if checked_by_default() else 'off'} (PINFUT_CHECKED)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
