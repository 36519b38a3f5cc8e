"""The command line: `python -m benches.count`, instructions per operation beside the stored ones.

    python -m benches.count                           # all that can be counted, compared
    python -m benches.count --only spawn --only echo-1
    python -m benches.count --system asyncio          # a peer: shown, and stored only if asked
    python -m benches.count --store                   # these are the new stored ones

The exit status is 1 if a row takes more than the tolerance above the stored one, or could not be
counted, and 2 if nothing could be.
"""

import argparse
import json
import platform
import shlex
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benches.callgrind import CallgrindFailed, count
from benches.registry import BASE, BENCHES, LOOP, REMOTE, SYSTEMS

STORED: Final = Path(__file__).with_name("counts.json")
TOLERANCE: Final = 3.0
"""Per cent. Two runs of one tree agree; where objects lie in memory moves a row by some tenths."""

UNCOUNTED: Final = {
    "wake-100000": "it shows what caches do, of which instructions know nothing",
    "tree-io": "how many leaves a turn wakes is up to the clock",
    "tree-io-tasks": "how many leaves a turn wakes is up to the clock",
    "memory": "it weighs bytes",
    "hostile-bytes": "it weighs bytes",
    "hostile-paid": "it weighs bytes",
    "idle-10000": "its sessions take minutes to set up under valgrind; by the clock it is idle-10",
    "socket-cpu": "what comes in one turn is up to another process, its clients",
    "socket-cpu-raw": "what comes in one turn is up to another process, its clients",
    **{b.name: "half of it is another process" for b in BENCHES if b.base == REMOTE},
    **{b.name: "another loop runs it, not this executor" for b in BENCHES if b.base == LOOP},
}
"""The benches that are left out, and why."""

FEWER: Final = {"tree": 9_331, "tree-tasks": 9_331, "idle-10": 1_000}
"""Operations in place of those of a round by the clock, which under valgrind would take most of
the time and tell the same."""

Counts = Mapping[str, Mapping[str, float]]
"""By system and bench."""


@dataclass(frozen=True)
class Stored:
    """The stored table: instructions per operation, and the Python that took them."""

    made_on: Mapping[str, str]
    counts: Counts

    @classmethod
    def read(cls, file: Path) -> "Stored":
        """Empty if there is no file yet; ValueError or KeyError if it is something else."""
        if not file.exists():
            return cls({}, {})
        table = json.loads(file.read_text("utf-8"))
        return cls(table["made_on"], table["counts"])

    def write(self, file: Path) -> None:
        table = {"made_on": self.made_on, "counts": self.counts}
        file.write_text(json.dumps(table, indent=2) + "\n", "utf-8")

    def updated(self, counts: Counts) -> "Stored":
        """With these counts in place of its own; without any of another Python's."""
        kept = self.counts if self.made_on == this_python() else {}
        merged = {
            system.name: {**kept.get(system.name, {}), **counts.get(system.name, {})}
            for system in SYSTEMS
        }
        ordered = {
            system: {bench.name: round(rows[bench.name]) for bench in BENCHES if bench.name in rows}
            for system, rows in merged.items()
            if rows
        }
        return Stored(this_python(), ordered)


def this_python() -> dict[str, str]:
    """What decides how many instructions the interpreter takes, as far as it can be asked."""
    configured = shlex.split(sysconfig.get_config_var("CONFIG_ARGS") or "")
    choices = [word for word in configured if word.startswith(("--enable-", "--with"))]
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "build": " ".join([*choices, sysconfig.get_config_var("OPT") or ""]).strip(),
        "compiler": platform.python_compiler(),
        "machine": platform.machine(),
    }


@dataclass(frozen=True)
class Change:
    """A row beside its stored one."""

    system: str
    bench: str
    # None if the table has no such row.
    stored: float | None
    now: float

    @property
    def percent(self) -> float | None:
        """How much more it takes than was stored; below 0, it takes less."""
        return None if self.stored is None else 100 * (self.now / self.stored - 1)

    def worse(self, tolerance: float) -> bool:
        return self.percent is not None and self.percent > tolerance


def changes(stored: Counts, counts: Counts) -> list[Change]:
    return [
        Change(system, bench, stored.get(system, {}).get(bench), now)
        for system, rows in counts.items()
        for bench, now in rows.items()
    ]


def print_changes(rows: Sequence[Change], tolerance: float, out: Console) -> None:
    table = Table(box=SIMPLE_HEAD)
    table.add_column("system")
    table.add_column("bench")
    for heading in ("stored", "instructions/op", "change"):
        table.add_column(heading, justify="right")
    for row in rows:
        if row.stored is None or row.percent is None:
            table.add_row(row.system, row.bench, "-", f"{row.now:,.0f}", "-")
            continue
        style = "bold red" if row.worse(tolerance) else "green" if row.percent < -tolerance else ""
        change = Text(f"{row.percent:+.1f} %", style=style)
        table.add_row(row.system, row.bench, f"{row.stored:,.0f}", f"{row.now:,.0f}", change)
    out.print(table)


def parser() -> argparse.ArgumentParser:
    def percent(text: str) -> float:
        if not 0 <= (value := float(text)) < inf:
            raise argparse.ArgumentTypeError("must be 0 or more")
        return value

    cli = argparse.ArgumentParser(
        prog="python -m benches.count",
        description="Count instructions per operation under valgrind, and compare with a table.",
    )
    add = cli.add_argument
    add(
        "--only",
        action="append",
        metavar="NAME",
        choices=countable(None),
        help="count only this bench (repeatable)",
    )
    add(
        "--system",
        action="append",
        metavar="NAME",
        choices=[system.name for system in SYSTEMS],
        help=f"count this system (repeatable; default {BASE})",
    )
    add(
        "--tolerance",
        type=percent,
        default=TOLERANCE,
        metavar="PERCENT",
        help=f"how much more than stored is no failure (default {TOLERANCE:g})",
    )
    add("--store", action="store_true", help=f"write what was counted to {STORED.name}")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    args = parser().parse_args(argv)
    out, errors = Console(), Console(stderr=True)
    if not out.is_terminal:
        out = Console(width=100)
    stored, here = Stored.read(STORED), this_python()
    counts: dict[str, dict[str, float]] = {}
    failed = False
    ops = {b.name: FEWER.get(b.name, b.ops) for b in BENCHES if b.name in countable(args.only)}
    for system in SYSTEMS:
        if system.name not in (args.system or [BASE]):
            continue
        if missing := system.missing():
            errors.print(f"skipped: {system.name} (not installed: {', '.join(missing)})")
            continue
        try:
            with errors.status(f"{system.name}: starting") as status:
                counts[system.name], failures = count(system, ops, status.update)
        except CallgrindFailed as error:
            print(error, file=sys.stderr)
            return 2
        for bench, reason in failures.items():
            failed = True
            errors.print(f"failed: {system.name}, {bench}: {reason}", markup=False)
    if not any(counts.values()):
        errors.print("nothing was counted", style="bold red")
        return 1
    compared = stored.made_on == here
    rows = changes(stored.counts if compared else {}, counts)
    print_changes(rows, args.tolerance, out)
    if args.store:
        stored.updated(counts).write(STORED)
        out.print(f"stored in {STORED.name}")
        return int(failed)
    if not compared:
        made_on = ", ".join(stored.made_on.values()) or "no Python yet"
        out.print(f"Not compared: the stored table is of {made_on}; this is", end=" ")
        out.print(f"{', '.join(here.values())}. --store writes it anew.", markup=False)
        return int(failed)
    worse = [row for row in rows if row.worse(args.tolerance)]
    if worse:
        names = ", ".join(f"{row.bench} ({row.percent:+.1f} %)" for row in worse)
        out.print(f"More than {args.tolerance:g} % above what is stored: {names}")
    return int(failed or bool(worse))


def countable(only: Sequence[str] | None) -> list[str]:
    return [b.name for b in BENCHES if b.name not in UNCOUNTED and (not only or b.name in only)]


if __name__ == "__main__":
    sys.exit(main())
