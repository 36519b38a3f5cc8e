"""Print each price in bytes, beside what one of the kind really takes on this interpreter, where
that is measured here."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pinfut.command.options import add_json, add_only, chosen
from pinfut.command.output import Row, show
from pinfut.command.progress import progress
from pinfut.rpc.lab.hostile.measure import PRICES, measured


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`, `--only`."""
    add_json(parser)
    add_only(parser, PRICES)


def run(options: Namespace) -> int:
    """Measure, and print."""
    kinds = chosen(options, PRICES)
    show(options, list(progress(map(_row, kinds), len(kinds), "prices")))
    return 0


def _row(kind: str) -> Row:
    price, truth = PRICES[kind], measured(kind)
    tightness = round(price / truth, 2) if truth else None
    return {"kind": kind, "price": price, "truth": truth, "tightness": tightness}
