"""CPython's own tests of asyncio, on pinfut's loop and on asyncio's.

    python -m tests.hosts.cpython                   # all modules, on both loops
    python -m tests.hosts.cpython --checked         # pinfut's in checked mode
    python -m tests.hosts.cpython test_streams      # this module

They come with the interpreter (``test.test_asyncio``).
"""

from __future__ import annotations

import argparse
import importlib.util
import pkgutil
import sys

from tests.hosts.compare import compare

PACKAGE = "test.test_asyncio"


def modules() -> list[str]:
    """The modules of tests, without those for Windows."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.submodule_search_locations is None:
        raise SystemExit(f"this interpreter has come without its tests ({PACKAGE})")
    names = sorted(found.name for found in pkgutil.iter_modules(spec.submodule_search_locations))
    return [name for name in names if name.startswith("test_") and "windows" not in name]


def main() -> int:
    cli = argparse.ArgumentParser(prog="python -m tests.hosts.cpython", description=__doc__)
    cli.add_argument("modules", nargs="*", metavar="MODULE")
    cli.add_argument("--checked", action="store_true", help="pinfut's loop in checked mode")
    args = cli.parse_args()
    names = args.modules or modules()
    return compare([f"{PACKAGE}.{name}" for name in names], args.checked)


if __name__ == "__main__":
    sys.exit(main())
