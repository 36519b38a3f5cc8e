"""The command line: `python -m benches`."""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console

from benches.harness import Harness
from benches.registry import BENCHES, SYSTEMS, Bench, System
from benches.table import print_names, print_results

ROUNDS = 15
QUICK_ROUNDS = 3


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
        choices=[bench.name for bench in BENCHES],
        help="run only this bench (repeatable)",
    )
    add(
        "--system",
        action="append",
        metavar="NAME",
        choices=[system.name for system in SYSTEMS],
        help="run only this system (repeatable)",
    )
    add("--rounds", type=positive, help=f"rounds of each bench (default {ROUNDS})")
    add(
        "--quick",
        action="store_true",
        help=f"{QUICK_ROUNDS} short rounds: shows that it works, not how fast it is",
    )
    add("--json", type=Path, metavar="FILE", help="write the rows to FILE as well")
    return cli


def main(argv: Sequence[str] | None = None) -> int:
    cli = parser()
    args = cli.parse_args(argv)
    if args.json is not None and not args.json.parent.is_dir():
        cli.error(f"--json: there is no folder {args.json.parent} to write to")
    # A pipe has no width; the table's own width is then the right one, not 80 columns.
    out = Console()
    if not out.is_terminal:
        out = Console(width=120)
    if args.list:
        print_names(BENCHES, SYSTEMS, out)
        return 0
    benches: Iterable[Bench] = [b for b in BENCHES if args.only is None or b.name in args.only]
    systems: Sequence[System] = [s for s in SYSTEMS if args.system is None or s.name in args.system]
    rounds: int = args.rounds or (QUICK_ROUNDS if args.quick else ROUNDS)

    with Harness(systems) as harness, Console(stderr=True).status("starting") as status:
        for bench in benches:
            harness.run(bench, rounds, bench.quick_ops if args.quick else bench.ops, status.update)
    results = harness.results

    print_results(results, out)
    if args.json is not None:
        args.json.write_text(json.dumps([row.as_json() for row in results.rows], indent=2) + "\n")
    if not results.rows:
        out.print("nothing was measured", style="bold red")
        return 1
    return 1 if results.failures else 0
