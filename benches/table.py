"""The results as a table for people: losses shown as plainly as wins."""

import platform
from collections.abc import Iterable, Mapping
from itertools import groupby

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benches.registry import BASE, ECHO_NOTE, Bench, System
from benches.result import Results, Row

# Ratios nearer to 1 than this are noise here: neither a win nor a loss.
EVEN = 0.05


def verdict(ratio: float) -> str:
    if abs(ratio - 1) <= EVEN:
        return "even"
    return "win" if ratio > 1 else "loss"


_STYLE = {"win": "green", "even": "yellow", "loss": "bold red"}


def print_results(results: Results, console: Console) -> None:
    table = Table(box=SIMPLE_HEAD, caption=_caption(results), caption_justify="left")
    table.add_column("bench")
    table.add_column("system")
    for heading in ("median", "min", "max", "ratio"):
        table.add_column(heading, justify="right")
    for bench, rows in groupby(results.rows, key=lambda row: row.bench):
        label = f"{bench.name}  [dim]{bench.unit}/op[/dim]"
        for row in rows:
            numbers = (row.median, min(row.samples), max(row.samples))
            ratio = results.ratio(row)
            table.add_row(
                label, row.system.name, *(f"{n:,.0f}" for n in numbers), _ratio(row, ratio)
            )
            label = ""
        table.add_section()
    if results.rows:
        console.print(table)
    print_unmeasured(results, console)


def print_unmeasured(results: Results, console: Console) -> None:
    for system, missing in results.skipped.items():
        console.print(f"skipped: {system} (not installed: {', '.join(missing)})", style="yellow")
    for system, names in results.absent.items():
        console.print(f"not there: {system} has no {', '.join(names)}", style="yellow")
    for failure in results.failures:
        console.print(f"failed: {failure}", style="bold red", markup=False)


def _ratio(row: Row, ratio: float | None) -> Text:
    if ratio is None:
        return Text("-")
    if row.system.name == row.bench.base:
        return Text("1", style="dim")
    return Text(f"{ratio:.2f}", style=_STYLE[verdict(ratio)])


def _caption(results: Results) -> str:
    lines = [
        f"ratio: this system / {BASE}, the median of the rounds' own ratios. "
        f"Above 1, {BASE} takes less; below 1, it takes more.",
        f"{platform.python_implementation()} {platform.python_version()}, {platform.machine()}.",
    ]
    ratios = [results.ratio(row) for row in results.rows if not row.system.own]
    verdicts = [verdict(ratio) for ratio in ratios if ratio is not None]
    if verdicts:
        wins, even, losses = (verdicts.count(v) for v in ("win", "even", "loss"))
        lines.insert(
            1,
            f"Of {len(verdicts)} comparisons {BASE} wins {wins}, loses {losses}, and {even} "
            f"{'is' if even == 1 else 'are'} even (within {EVEN:.0%}).",
        )
    if any(row.bench.name.startswith("echo-") and not row.system.own for row in results.rows):
        lines.append(ECHO_NOTE)
    return "\n".join(lines)


def print_names(
    benches: Iterable[Bench],
    comparisons: Mapping[str, str],
    systems: Iterable[System],
    console: Console,
) -> None:
    """What `--list` says."""
    table = Table(box=SIMPLE_HEAD)
    table.add_column("bench")
    table.add_column("one operation")
    table.add_column("unit")
    for bench in benches:
        table.add_row(bench.name, bench.op, f"{bench.unit}/op")
    for name, about in comparisons.items():
        table.add_row(name, about, "designs")
    console.print(table)
    table = Table(box=SIMPLE_HEAD)
    table.add_column("system")
    table.add_column("module")
    table.add_column("")
    for system in systems:
        missing = system.missing()
        table.add_row(
            system.name, system.module, f"not installed: {', '.join(missing)}" if missing else ""
        )
    console.print(table)
