"""Print the tables of docs/comparisons.md: `python -m benches.compare [--json FILE|-]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benches.callgrind import CallgrindFailed, count
from benches.compare.bushel_work import BUSHEL_WORK, BUSHELS, weigh
from benches.compare.pairs import BUSHELS_EACH, PAIRS, weigh_pairs
from benches.compare.work import DESIGNS, WORK, made, places
from benches.registry import System

ROUNDS = 20
OPS = 2_000


@dataclass(frozen=True)
class CallRow:
    """Figures for one call."""

    work: str
    design: str
    transitions: float
    copied: float
    written: float
    held: float
    """Bytes set aside for an open call: shared, kernel's, server's and client's."""
    instructions: float | None
    """By callgrind, for the Python that stands here; None without valgrind."""


@dataclass(frozen=True)
class BushelRow:
    """Figures for one object of a client."""

    design: str
    bytes: float
    left: float
    """Bytes a client, when each of 64 has released all of 256 objects but the last."""
    instructions: Mapping[str, float]
    """By what is done; empty without valgrind."""


@dataclass(frozen=True)
class PairRow:
    """Figures for one client with some bushels of one server."""

    bushels: int
    design: str
    pages: int
    """What the client's bank has paid: rings, tables, and a buffer of events."""
    transitions: float
    """For each call, when each bushel is called at once."""
    instructions: float | None


class Counting:
    """Counts the instructions of designs, as long as there is a valgrind to do so."""

    def __init__(self, errors: Console) -> None:
        self._errors = errors
        self._there = True

    def __call__(self, design: str, ops: Mapping[str, int]) -> dict[str, float]:
        if not self._there:
            return {}
        system = System(design, "benches.compare.suite", env={"DESIGN": design})
        try:
            with self._errors.status(design) as status:
                counts, failures = count(system, ops, status.update)
        except CallgrindFailed as error:
            self._there = False
            self._errors.print(f"no instructions: {error}", markup=False)
            return {}
        for name, reason in failures.items():
            self._errors.print(f"failed: {design}, {name}: {reason}", markup=False)
        return counts


def calls(counting: Counting) -> list[CallRow]:
    ops = {name: max(n, OPS // n * n) for name, (_, n) in WORK.items()}
    instructions = {design: counting(design, ops) for design in DESIGNS}
    rows = []
    for name, (work, n) in WORK.items():
        for design in DESIGNS:
            it = made(design, name)
            for _ in range(ROUNDS):
                work(it, n)
            done, counts = ROUNDS * n, it.counts
            rows.append(
                CallRow(
                    name,
                    design,
                    counts.transitions / done,
                    counts.copied / done,
                    counts.written / done,
                    it.held().all / places(name),
                    instructions[design].get(name),
                )
            )
    return rows


def bushels(counting: Counting) -> list[BushelRow]:
    names = {name.replace(" ", "-"): OPS if name != "leave" else 200 for name in BUSHEL_WORK}
    return [BushelRow(design, *weigh(design), counting(design, names)) for design in BUSHELS]


def pairs(counting: Counting) -> list[PairRow]:
    ops = {f"bushels-{count}": OPS // count * count for count in BUSHELS_EACH}
    counts = {design: counting(design, ops) for design in PAIRS}
    return [
        PairRow(n, design, *weigh_pairs(design, n), counts[design].get(f"bushels-{n}"))
        for n in BUSHELS_EACH
        for design in PAIRS
    ]


def show_calls(out: Console, rows: Sequence[CallRow]) -> None:
    table = Table(box=MARKDOWN, title="for each call")
    table.add_column("work")
    table.add_column("design")
    for heading in ("transitions", "copied", "written", "held", "instructions"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.work,
            row.design,
            f"{row.transitions:.2f}",
            *(f"{value:.0f}" for value in (row.copied, row.written, row.held)),
            number(row.instructions),
        )
    out.print(table)


def show_bushels(out: Console, rows: Sequence[BushelRow]) -> None:
    table = Table(box=MARKDOWN, title="for each object of a client")
    table.add_column("design")
    for heading in ("bytes", "left", *BUSHEL_WORK):
        table.add_column(heading, justify="right")
    for one in rows:
        counts = [one.instructions.get(name.replace(" ", "-")) for name in BUSHEL_WORK]
        table.add_row(one.design, f"{one.bytes:.0f}", f"{one.left:,.0f}", *map(number, counts))
    out.print(table)


def show_pairs(out: Console, rows: Sequence[PairRow]) -> None:
    table = Table(box=MARKDOWN, title="for a client of several bushels")
    table.add_column("bushels", justify="right")
    table.add_column("design")
    for heading in ("pages", "transitions", "instructions"):
        table.add_column(heading, justify="right")
    for pair in rows:
        table.add_row(
            str(pair.bushels),
            pair.design,
            str(pair.pages),
            f"{pair.transitions:.2f}",
            number(pair.instructions),
        )
    out.print(table)


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


TABLES: Mapping[str, tuple[Callable[[Counting], Any], Callable[[Console, Any], None]]] = {
    "calls": (calls, show_calls),
    "bushels": (bushels, show_bushels),
    "pairs": (pairs, show_pairs),
}


def print_designs(names: Iterable[str], file: str | None) -> int:
    """Print the tables of these names, or write their rows to `file` as JSON; `-` is standard
    output. The exit status."""
    counting = Counting(Console(stderr=True))
    rows = {name: TABLES[name][0](counting) for name in names}
    if file is None:
        for name, found in rows.items():
            TABLES[name][1](Console(), found)
        return 0
    text = json.dumps(rows, indent=2, default=asdict) + "\n"
    if file == "-":
        sys.stdout.write(text)
    else:
        Path(file).write_text(text, "utf-8")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    cli = argparse.ArgumentParser(prog="python -m benches.compare", description=__doc__)
    cli.add_argument("--json", metavar="FILE", help="write the rows there; - is standard output")
    args = cli.parse_args(argv)
    return print_designs(TABLES, args.json)


if __name__ == "__main__":
    sys.exit(main())
