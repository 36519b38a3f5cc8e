"""Print what the design notes ask for: each row with its answer, its test and its mutant."""

from __future__ import annotations

import subprocess
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pinfut
from pinfut.command.options import add_json, add_only, chosen
from pinfut.command.output import Row, show
from pinfut.rpc.lab.rows import ROWS

_NUMBERS = [str(row.number) for row in ROWS]


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`, `--only`, `--prove`."""
    add_json(parser)
    add_only(parser, _NUMBERS)
    text = "plant the mutants, too, and see the tests kill them: long, and needs a checkout"
    parser.add_argument("--prove", action="store_true", help=text)


def run(options: Namespace) -> int:
    """Print them, and plant their mutants if asked to: 1 where one of these lives."""
    root = Path(pinfut.__file__).parents[1]
    if options.prove and not (root / "tests" / "mutants").is_dir():
        raise ArgumentError(None, f"{root} has no tests; use --prove in a checkout of pinfut")
    numbers = chosen(options, _NUMBERS)
    rows = [row for row in ROWS if str(row.number) in numbers]
    show(options, [{**row._asdict(), "state": row.state} for row in rows], _lines)
    return _prove(options, root, numbers) if options.prove else 0


def _lines(rows: Sequence[Row]) -> str:
    lines: list[str] = []
    for row in rows:
        lines.append(f"{row['number']:>3}. {row['text']}")
        lines.append(f"     line {row['line']}, {row['where']}: {row['state']}")
        if row["test"]:
            kills = f"  kills {row['mutant']}" if row["mutant"] else ""
            lines.append(f"     {row['test']}{kills}")
        if row["missing"]:
            lines.append(f"     missing: {row['missing']}")
    states = Counter(row["state"] for row in rows)
    lines.append(", ".join(f"{states[state]} {state}" for state in ("shown", "in part", "open")))
    return "\n".join(lines)


def _prove(options: Namespace, root: Path, numbers: Sequence[str]) -> int:
    """Tests are no part of what is installed, so what runs them is a process of the checkout."""
    sys.stdout.flush()
    command = [sys.executable, "-m", "tests.mutants.prove", *numbers]
    told = sys.stderr if options.json == "-" else None
    return subprocess.run(command, cwd=root, stdout=told, check=False).returncode
