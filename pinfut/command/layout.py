"""Print the frame of an unboxed function: its size in bytes, its slots, the places where it waits,
and over which of them each local is live."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from pinfut.command.function import add_function, find
from pinfut.command.options import add_json
from pinfut.command.output import write_json
from pinfut.unboxed.layout import layout, table


def add_arguments(parser: ArgumentParser) -> None:
    """The function; `--json`."""
    add_function(parser)
    add_json(parser)


def run(options: Namespace) -> int:
    """Lay the frame out, and print it."""
    found = layout(find(options.function).function)
    if options.json != "-":
        print(table(found))
    write_json(options, asdict(found))
    return 0
