"""The command line: `python -m benches`."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from benches.against import compare, print_comparisons
from benches.harness import Harness
from benches.plot import CannotPlot, draw
from benches.registry import BASE, BENCHES, COMPARISONS, SYSTEMS, Bench, System
from benches.table import print_names, print_results, print_unmeasured
from pinfut.command.options import add_json

ROUNDS = 15
QUICK_ROUNDS = 3
# Where a few per cent are looked for.
AGAINST_ROUNDS = 31


def parser() -> argparse.ArgumentParser:
    def positive(text: str) -> int:
        if (number := int(text)) < 1:
            raise argparse.ArgumentTypeError("must be at least 1")
        return number

    cli = argparse.ArgumentParser(
        prog="python -m benches",
        description="Compare pinfut with other runtimes: interleaved, one process per system.",
    )
    add = cli.add_argument
    add("--list", action="store_true", help="list the benches and the systems, run nothing")
    add(
        "--only",
        action="append",
        metavar="NAME",
        choices=[*(bench.name for bench in BENCHES), *COMPARISONS],
        help="run only this bench, or comparison of designs (repeatable)",
    )
    add(
        "--system",
        action="append",
        metavar="NAME",
        choices=[system.name for system in SYSTEMS],
        help="run only this system (repeatable)",
    )
    add(
        "--against",
        type=Path,
        metavar="DIR",
        help="compare this tree with the checkout in DIR, interleaved, and with itself "
        f"(default: {BASE} alone)",
    )
    add(
        "--rounds",
        type=positive,
        help=f"rounds of each bench (default {ROUNDS}, and {AGAINST_ROUNDS} with --against)",
    )
    add(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROUNDS} short rounds: shows that it works, not how fast it is",
    )
    add("--plot", type=Path, metavar="FILE.svg", help="draw the figures beside pinfut's, too")
    add_json(cli)
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    cli = parser()
    args = cli.parse_args(argv)
    file: str | None = args.json
    other: Path | None = args.against
    comparisons = [name for name in COMPARISONS if name in (args.only or ())]
    if comparisons:
        if (
            len(comparisons) < len(set(args.only))
            or args.system
            or args.rounds
            or other
            or args.plot
        ):
            cli.error(f"{', '.join(comparisons)}: comparisons of designs are run by themselves")
        from benches.compare.__main__ import print_designs

        return print_designs(comparisons, file)
    if other is not None and args.plot is not None:
        cli.error("--plot: a chart shows pinfut beside its peers, and not one tree beside another")
    if other is not None and not (other / "benches" / "worker.py").is_file():
        cli.error(f"--against: {other} is no checkout of pinfut: it has no benches/worker.py")
    # A pipe has no width; the table's own width is then the right one, not 80 columns.
    out = Console(stderr=file == "-")
    if not out.is_terminal:
        out = Console(stderr=file == "-", width=120)
    if args.list:
        print_names(BENCHES, COMPARISONS, SYSTEMS, out)
        return 0
    benches: Sequence[Bench] = [b for b in BENCHES if args.only is None or b.name in args.only]
    names: Iterable[str] | None = args.system
    if names is None:
        names = [BASE] if other is not None else [system.name for system in SYSTEMS]
    systems: Sequence[System] = [system for system in SYSTEMS if system.name in names]
    rounds: int = args.rounds or (
        QUICK_ROUNDS if args.quick else ROUNDS if other is None else AGAINST_ROUNDS
    )

    rows: list[dict[str, object]] = []
    failed = False
    if other is None:
        with Harness(systems) as harness, Console(stderr=True).status("starting") as status:
            for bench in benches:
                ops = bench.quick_ops if args.quick else bench.ops
                harness.run(bench, rounds, ops, status.update)
        print_results(harness.results, out)
        rows, failed = harness.results.as_json(), bool(harness.results.failures)
    else:
        with Console(stderr=True).status("starting") as status:
            pairs = [
                compare(system, other.resolve(), benches, rounds, args.quick, status.update)
                for system in systems
            ]
        for found, results in pairs:
            print_comparisons(found, other, out)
            print_unmeasured(results, out)
            rows += [row.as_json() for row in found]
            failed |= bool(results.failures)
    if file is not None:
        text = json.dumps(rows, indent=2) + "\n"
        if file == "-":
            print(text, end="")
        else:
            Path(file).write_text(text, "utf-8")
    if args.plot is not None and rows:
        try:
            draw(rows, args.plot)
        except (CannotPlot, OSError) as error:
            out.print(f"no chart: {error}", style="bold red")
            failed = True
    if not rows:
        out.print("nothing was measured", style="bold red")
        return 1
    return int(failed)
