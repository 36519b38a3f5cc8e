"""One client holds more and more of a kind: print what that costs it, what it takes at the server,
and what is left when it is over, in bytes. A tightness of 1.00 is the truth; below it, somebody
else pays."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import Final

from pinfut.command.options import add_json, add_memory, add_only, chosen, memories, number
from pinfut.command.output import Row, show
from pinfut.command.progress import progress
from pinfut.rpc.contract import Memory
from pinfut.rpc.lab.hostile.slope import KINDS, slope

FEW: Final = 64
"""How many it holds when the measuring begins."""


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`, `--only`, `--memory`, `--many`."""
    add_json(parser)
    add_only(parser, KINDS)
    add_memory(parser)
    text = "how many it holds at the end (default 400)"
    parser.add_argument("--many", type=number(2 * FEW, 60_000), default=400, help=text)


def run(options: Namespace) -> int:
    """Measure, and print; 1 when more is taken than is charged."""
    pairs: list[tuple[str, Memory]] = [
        (kind, mode) for kind in chosen(options, KINDS) for mode in memories(options)
    ]
    work = (_row(kind, options.many, mode) for kind, mode in pairs)
    rows = list(progress(work, len(pairs), "slopes"))
    show(options, rows)
    return int(any(row["charged"] < row["traced"] for row in rows))


def _row(kind: str, many: int, mode: Memory) -> Row:
    found = slope(kind, FEW, many, mode)
    return {
        "kind": found.kind,
        "memory": mode,
        "few": found.few,
        "many": found.many,
        "charged": found.charged,
        "traced": found.traced,
        "peak": found.peak,
        "tightness": round(found.tightness, 2),
        "left": found.left,
    }
