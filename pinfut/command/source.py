"""Print what was made of an unboxed function's source: one function for its chain of calls."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from time import perf_counter
from typing import Any

from pinfut.command.function import add_function, find
from pinfut.unboxed.compiled import generated
from pinfut.unboxed.decorate import analysed
from pinfut.unboxed.frame import generated_frame
from pinfut.unboxed.unit import Unit


def add_arguments(parser: ArgumentParser) -> None:
    """The function; `--frame` or `--cost`."""
    add_function(parser)
    other = parser.add_mutually_exclusive_group()
    text = "the frame of a pool, not the form that a call makes"
    other.add_argument("--frame", action="store_true", help=text)
    text = "how long decorating and compiling take here, instead"
    other.add_argument("--cost", action="store_true", help=text)


def run(options: Namespace) -> int:
    """Compile it, and print."""
    _, unit, owner = find(options.function)
    if options.cost:
        print(cost(unit, None if owner is None else vars(owner)))
    else:
        print((generated_frame if options.frame else generated)(unit).text)
    return 0


def cost(unit: Unit, namespace: Any = None) -> str:
    """How long decorating and compiling take here, once more, in one line. `namespace`: that of
    the class, for a method."""
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
