"""Print each price in bytes, beside what one of the kind really takes on this interpreter, where
that is measured here; or what each call of an interface costs."""

from __future__ import annotations

from argparse import ArgumentError, ArgumentParser, Namespace
from operator import attrgetter

from pinfut.command.function import load
from pinfut.command.options import add_json, add_only, chosen
from pinfut.command.output import Row, show
from pinfut.command.progress import progress
from pinfut.rpc.lab.calls import prices_of
from pinfut.rpc.lab.hostile.measure import PRICES, measured


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`, `--only`, `--calls`."""
    add_json(parser)
    add_only(parser, PRICES)
    text = "what each call of this interface costs, or of what implements one, as module:interface"
    parser.add_argument("--calls", metavar="INTERFACE", help=text)


def run(options: Namespace) -> int:
    """Measure, and print."""
    if options.calls is not None:
        show(options, _calls(options.calls))
        return 0
    kinds = chosen(options, PRICES)
    show(options, list(progress(map(_row, kinds), len(kinds), "prices")))
    return 0


def _calls(text: str) -> list[Row]:
    space, name = load(text, "interface")
    try:
        rows = [price._asdict() for price in prices_of(attrgetter(name)(space))]
    except (AttributeError, TypeError) as error:
        raise ArgumentError(None, f"{text} is no interface: {error}") from error
    if not rows:
        raise ArgumentError(None, f"{text} has no methods")
    return rows


def _row(kind: str) -> Row:
    price, truth = PRICES[kind], measured(kind)
    tightness = round(price / truth, 2) if truth else None
    return {"kind": kind, "price": price, "truth": truth, "tightness": tightness}
