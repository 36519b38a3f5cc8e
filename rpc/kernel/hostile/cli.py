"""The command: rules with their tests, prices with the truth, what hostile clients come to."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from pinfut.rpc.kernel.hostile import SCENARIOS, play
from pinfut.rpc.kernel.hostile.measure import measured
from pinfut.rpc.kernel.hostile.slope import KINDS, slope
from pinfut.rpc.kernel.rules import RULES

Row = dict[str, Any]


def rules(options: argparse.Namespace) -> list[Row]:
    """Each bank rule, where it is kept, and the test that holds it."""
    return [rule._asdict() for rule in RULES]


def prices(options: argparse.Namespace) -> list[Row]:
    """Each price in bytes, and what one of the kind really takes on this interpreter."""
    return [
        {"kind": kind, "price": price, "truth": truth, "tightness": round(price / truth, 2)}
        if truth
        else {"kind": kind, "price": price, "truth": None, "tightness": None}
        for kind, price, truth in measured()
    ]


def hostile(options: argparse.Namespace) -> list[Row]:
    """Each hostile client: bytes charged, traced, uncharged for a session and left behind; the
    victim's calls, and its worst wait in simulated ns, alone and beside it."""
    rows = []
    for scenario in SCENARIOS:
        found = play(scenario, options.seed)
        rows.append(
            {
                "scenario": found.name,
                "charged": found.charged,
                "traced": found.traced,
                "uncharged": found.uncharged // found.sessions,
                "left": found.left,
                "answered": found.answered,
                "lost": found.lost,
                "alone_ns": found.alone,
                "worst_ns": found.worst,
                "missed": "; ".join(found.failures),
            }
        )
    return rows


def slopes(options: argparse.Namespace) -> list[Row]:
    """What more of a kind costs a client and takes at the server, and the tightness of that."""
    return [
        {
            "kind": found.kind,
            "few": found.few,
            "many": found.many,
            "charged": found.charged,
            "traced": found.traced,
            "peak": found.peak,
            "tightness": round(found.tightness, 2),
            "left": found.left,
        }
        for found in (slope(kind, 64, options.many) for kind in KINDS)
    ]


COMMANDS: Final[dict[str, Callable[[argparse.Namespace], list[Row]]]] = {
    "rules": rules,
    "prices": prices,
    "hostile": hostile,
    "slopes": slopes,
}


def main(arguments: Sequence[str]) -> int:
    """Run the command; 0, or 1 when a mark was missed. Bad arguments exit with 2."""
    options = _parser().parse_args(arguments)
    rows = COMMANDS[options.command](options)
    if options.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
    else:
        _show(options.command, rows)
    return int(any(row.get("missed") for row in rows))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pinfut.rpc.kernel", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="|".join(COMMANDS))
    for name, command in COMMANDS.items():
        text = " ".join((command.__doc__ or "").split())
        one = commands.add_parser(name, help=text, description=text)
        one.add_argument("--json", action="store_true", help="print JSON")
        if name == "hostile":
            one.add_argument("--seed", type=int, default=0, help="draws the order of wakes")
        if name == "slopes":
            one.add_argument("--many", type=_many, default=400, help="how many at the end")
    return parser


def _many(text: str) -> int:
    if not text.isdecimal() or not 128 <= int(text) <= 60_000:
        raise argparse.ArgumentTypeError(f"give a number from 128 to 60000, not {text!r}")
    return int(text)


def _show(title: str, rows: list[Row]) -> None:
    cells = [[_text(value) for value in row.values()] for row in rows]
    heads = list(rows[0])
    try:
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        widths = [max(map(len, column)) for column in zip(heads, *cells, strict=True)]
        for line in (heads, *cells):
            print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)))
        return
    table = Table(*heads, title=title)
    for line in cells:
        table.add_row(*line)
    console = Console()
    if not console.is_terminal:
        console = Console(width=240)
    console.print(table)


def _text(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)
