"""options: what the arguments of subcommands have in common, and refuse."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from collections.abc import Callable, Iterable
from typing import Final

from pinfut.payers import why_not
from pinfut.rpc.contract import Memory
from pinfut.rpc.kernel.memory_mode import MEMORIES, VARIABLE

MOST_SEEDS: Final = 1_000_000
"""Seeds of one run: what came of each is kept until its end."""


def add_json(parser: ArgumentParser) -> None:
    """Add `--json FILE`."""
    text = "write the figures as JSON, too; - is standard output, and then nothing else goes there"
    parser.add_argument("--json", type=_writable_or_output, metavar="FILE", help=text)


def add_memory(parser: ArgumentParser) -> None:
    """`--memory`: how what a server holds is paid for; both, one after the other, by default."""
    text = "arenas: paid by where it lies; prices: as declared (default both, where both can be)"
    asked = os.environ.get(VARIABLE) or None
    parser.add_argument("--memory", type=_memory, metavar="MODE", default=asked, help=text)


def _memory(text: str) -> list[Memory]:
    for known in MEMORIES:
        if text == known:
            reason = why_not() if known == "arenas" else None
            if reason is not None:
                raise ArgumentTypeError(reason)
            return [known]
    raise ArgumentTypeError(f"{text!r} is none of {', '.join(MEMORIES)}")


def memories(options: Namespace) -> list[Memory]:
    """The mode that was asked for, here or by the environment; else all that there can be."""
    asked: list[Memory] = options.memory or [
        mode for mode in MEMORIES if mode != "arenas" or why_not() is None
    ]
    return asked


def add_only(parser: ArgumentParser, names: Iterable[str]) -> None:
    """Add `--only NAME`, which may be given again."""
    every = tuple(names)
    text = f"only this one (repeatable), of: {', '.join(every)}"
    parser.add_argument("--only", action="append", metavar="NAME", choices=every, help=text)


def chosen(options: Namespace, names: Iterable[str]) -> list[str]:
    """The names that `--only` chose, in the order of `names`; all of them without it."""
    return [name for name in names if options.only is None or name in options.only]


def number(least: int, most: int) -> Callable[[str], int]:
    """The type of an argument: a number from `least` to `most`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise ArgumentTypeError(f"give a number from {least} to {most}, not {text!r}")
        return int(text)

    return parse


seed = number(0, 2**63 - 1)
"""The type of an argument: one seed."""


def seeds(text: str) -> range:
    """The type of an argument: seeds as `A:B`, from A up to below B, or one of them."""
    first, colon, last = text.partition(":")
    if not (first.isdecimal() and (last.isdecimal() or not colon)):
        raise ArgumentTypeError(f"give seeds as 0:2000 or as one number, not {text!r}")
    found = range(int(first), int(last) if colon else int(first) + 1)
    if not 0 < len(found) <= MOST_SEEDS:
        raise ArgumentTypeError(f"give from 1 to {MOST_SEEDS} seeds, as 0:2000; {text} are not")
    return found


def writable(text: str) -> str:
    """The type of an argument: a file to be written later. It is not touched now."""
    folder = os.path.dirname(text) or "."
    if text in ("", "-") or os.path.isdir(text) or not os.path.isdir(folder):
        raise ArgumentTypeError(f"{text!r} cannot be a file; name one, in a folder that is there")
    if not os.access(text if os.path.exists(text) else folder, os.W_OK):
        raise ArgumentTypeError(f"{text!r} may not be written; name a file that you may write")
    return text


def _writable_or_output(text: str) -> str:
    return text if text == "-" else writable(text)
