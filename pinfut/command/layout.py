"""Print the frame of an unboxed function: its size in bytes, its slots, the places where it waits,
and over which of them each local is live."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from dataclasses import asdict

from pinfut.command.function import add_function, find
from pinfut.command.options import add_json
from pinfut.command.output import write_json
from pinfut.unboxed.layout import Layout, layout
from pinfut.unboxed.sizes import REFERENCE


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


def table(shown: Layout) -> str:
    """The layout as a table, for people."""
    out = [
        f"{shown.function}: a frame of {shown.size} bytes "
        f"({shown.generator} the generator, {shown.size - shown.generator} around it)",
        f"  called without a pool: {shown.called} bytes; as plain coroutines: {shown.boxed} bytes",
        f"  {len(shown.slots)} slots of {REFERENCE} bytes; {shown.overlap} bytes shared by "
        "locals that are never live together",
    ]
    for name, size in shown.further:
        out.append(f"  {name} has no room in there and gets a frame of its own, of {size} bytes")
    out += ["", "  waits"]
    for number, wait in enumerate(shown.waits):
        out.append(f"    {number:3}  {wait.function}  {wait.file}:{wait.line}")
    out += ["", "  slot  local                                     live over"]
    for slot in shown.slots:
        for index, local in enumerate(slot.locals):
            place = f"{slot.number:4}" if index == 0 else "    "
            over = ", ".join(map(str, local.waits)) or "-"
            out.append(f"  {place}  {local.function + ' · ' + local.name:40}  {over}")
    return "\n".join(out)
