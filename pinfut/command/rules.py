"""Print the rules of paying, each with the file that keeps it and the test that holds it."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence

from pinfut.command.options import add_json
from pinfut.command.output import Row, show
from pinfut.rpc.lab.rules import RULES


def add_arguments(parser: ArgumentParser) -> None:
    """`--json`."""
    add_json(parser)


def run(options: Namespace) -> int:
    """Print them."""
    show(options, [rule._asdict() for rule in RULES], _lines)
    return 0


def _lines(rows: Sequence[Row]) -> str:
    return "\n".join(
        f"{row['number']:>2}. {row['text']}\n    {row['where']}  {row['test']}" for row in rows
    )
