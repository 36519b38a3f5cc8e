"""output: rows as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from argparse import ArgumentError, Namespace
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Row = dict[str, Any]


def table(rows: Sequence[Row]) -> str:
    """Rows of the same keys as text: a line of heads, then a line each; numbers to the right."""
    heads = list(rows[0])
    numeric = [all(isinstance(row[head], int | float | None) for row in rows) for head in heads]
    lines = [heads, *([_cell(row[head]) for head in heads] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(line, widths, numeric, strict=True)
        ).rstrip()
        for line in lines
    )


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def show(
    options: Namespace, rows: Sequence[Row], text: Callable[[Sequence[Row]], str] = table
) -> None:
    """Print rows as text, and write them where `--json` says."""
    if options.json != "-":
        print(text(rows))
    write_json(options, rows)


def write_json(options: Namespace, value: object) -> None:
    """Write a value where `--json` says, if it does. Raises ArgumentError where that fails."""
    if options.json is None:
        return
    text = json.dumps(value, indent=2) + "\n"
    if options.json == "-":
        print(text, end="")
    else:
        write(options.json, text)


def write(file: str, text: str) -> None:
    """Write a file. Raises ArgumentError where that fails."""
    try:
        Path(file).write_text(text, encoding="utf-8")
    except OSError as error:
        message = f"{file} could not be written: {error.strerror}; name another file"
        raise ArgumentError(None, message) from None
