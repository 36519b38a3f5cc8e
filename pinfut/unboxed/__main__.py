"""``python -m pinfut.unboxed show|layout|cost module:function``."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter
from typing import Any

from pinfut.unboxed.analysis import analysed
from pinfut.unboxed.compiled import generated
from pinfut.unboxed.decorate import BOXED
from pinfut.unboxed.frame import generated_frame
from pinfut.unboxed.layout import layout, table
from pinfut.unboxed.unit import Unit, unit_of


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`; its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pinfut.unboxed", description="Look into unboxed functions."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, what in (
        ("show", "print the source that the function is compiled to"),
        ("layout", "print the slots of its frame, and where it waits"),
        ("cost", "print what decorating and compiling it takes here"),
    ):
        command = commands.add_parser(name, help=what, description=what)
        command.add_argument("function", help="module:function, or module:Class.method")
        if name == "show":
            command.add_argument(
                "--frame", action="store_true", help="the frame of a pool, not the called form"
            )
    chosen = parser.parse_args(argv)
    module, _, name = chosen.function.partition(":")
    if not name:
        parser.error("name the function as module:function")
    if BOXED:
        parser.error("PINFUT_BOXED is set, so nothing is unboxed; unset it")
    sys.path.insert(0, "")
    try:
        space = importlib.import_module(module)
        function = attrgetter(name)(space)
        unit = unit_of(function)
    except (ImportError, AttributeError, TypeError) as error:
        parser.error(str(error))
    if chosen.command == "show":
        print((generated_frame if chosen.frame else generated)(unit).text)
    elif chosen.command == "layout":
        print(table(layout(function)))
    else:
        owner = attrgetter(name.rpartition(".")[0])(space) if "." in name else None
        print(cost(unit, vars(owner) if isinstance(owner, type) else None))
    return 0


def cost(unit: Unit, namespace: Any = None) -> str:
    """How long decorating and compiling take here, once more, in one line."""
    lines = len(unit.excerpt.text.splitlines())
    decorated = _milliseconds(lambda: analysed(unit.function, namespace))
    called = _milliseconds(lambda: generated(unit))
    frame = _milliseconds(lambda: generated_frame(unit))
    return (
        f"{unit.code.co_qualname}, {lines} lines, {unit.activations} functions in its chain: "
        f"decorated in {decorated:.1f} ms; compiled when first called in {called:.1f} ms, "
        f"for a pool in {frame:.1f} ms"
    )


def _milliseconds(work: Callable[[], object]) -> float:
    before = perf_counter()
    work()
    return (perf_counter() - before) * 1e3


if __name__ == "__main__":
    sys.exit(main())
