"""``python -m pinfut.unboxed show|layout module:function``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from operator import attrgetter

from pinfut.unboxed.layout import layout, table
from pinfut.unboxed.unit import unit_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pinfut.unboxed", description="Look into unboxed functions."
    )
    parser.add_argument("command", choices=["show", "layout"], help="the source, or the slots")
    parser.add_argument("function", help="module:function, or module:Class.method")
    chosen = parser.parse_args(argv)
    module, _, name = chosen.function.partition(":")
    if not name:
        parser.error("name the function as module:function")
    sys.path.insert(0, "")
    try:
        function = attrgetter(name)(importlib.import_module(module))
        unit = unit_of(function)
    except (ImportError, AttributeError, TypeError) as error:
        parser.error(str(error))
    print(unit.generated().text if chosen.command == "show" else table(layout(function)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
