"""Print the tables of docs/comparisons.md: `python -m benches.compare [--json FILE|-]`."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benches.callgrind import CallgrindFailed, count
from benches.compare.work import DESIGNS, WORK, made, places
from benches.registry import System

ROUNDS = 20


@dataclass(frozen=True)
class Row:
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


def measure(instructions: dict[str, dict[str, float]]) -> list[Row]:
    rows = []
    for name, (work, n) in WORK.items():
        for design in DESIGNS:
            calls = made(design, name)
            for _ in range(ROUNDS):
                work(calls, n)
            done, counts = ROUNDS * n, calls.counts
            rows.append(
                Row(
                    name,
                    design,
                    counts.transitions / done,
                    counts.copied / done,
                    counts.written / done,
                    calls.held().all / places(name),
                    instructions.get(design, {}).get(name),
                )
            )
    return rows


def counted(errors: Console) -> dict[str, dict[str, float]]:
    """Instructions a call, by design and work; empty without valgrind."""
    ops = {name: max(n, 2_000 // n * n) for name, (_, n) in WORK.items()}
    counts = {}
    for design in DESIGNS:
        system = System(design, "benches.compare.suite", env={"DESIGN": design})
        try:
            with errors.status(design) as status:
                counts[design], failures = count(system, ops, status.update)
        except CallgrindFailed as error:
            errors.print(f"no instructions: {error}", markup=False)
            return {}
        for name, reason in failures.items():
            errors.print(f"failed: {design}, {name}: {reason}", markup=False)
    return counts


def main(argv: Sequence[str] | None = None) -> int:
    cli = argparse.ArgumentParser(prog="python -m benches.compare", description=__doc__)
    cli.add_argument("--json", metavar="FILE", help="write the rows there; - is standard output")
    args = cli.parse_args(argv)
    rows = measure(counted(Console(stderr=True)))
    if args.json is not None:
        text = json.dumps([vars(row) for row in rows], indent=2) + "\n"
        if args.json == "-":
            sys.stdout.write(text)
        else:
            Path(args.json).write_text(text, "utf-8")
        return 0
    table = Table(box=SIMPLE_HEAD, title="for each call")
    table.add_column("work")
    table.add_column("design")
    for heading in ("transitions", "copied", "written", "held", "instructions"):
        table.add_column(heading, justify="right")
    for row in rows:
        last = "-" if row.instructions is None else f"{row.instructions:,.0f}"
        table.add_row(
            row.work,
            row.design,
            f"{row.transitions:.2f}",
            *(f"{value:.0f}" for value in (row.copied, row.written, row.held)),
            last,
            end_section=row.design == [*DESIGNS][-1],
        )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
