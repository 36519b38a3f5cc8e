"""What the command line says, checked."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NoReturn

from examples.files.interface import HEAD, LIST_COUNT, READ_MAX, list_room, read_room
from examples.files.tree import HIDDEN, Tree
from pinfut.rpc import PAGE

_PROJECT: Final = Path(__file__).resolve().parents[2]
_MOST_IN_FLIGHT: Final = 4096
_MOST_PAGES: Final = 1 << 19
_SESSION_PAGES: Final = 256


@dataclass(slots=True)
class Options:
    """What to do; `fail` ends the program with a usage error."""

    tree: Tree
    in_flight: int
    pages: int
    seed: int
    chunk: int
    rounds: int
    fail: Callable[[str], NoReturn]


def enough_pages(in_flight: int, chunk: int) -> int:
    """Pages for so many calls in flight, and as many that wait, with room to spare."""
    answer = max(read_room(0, chunk), list_room("", LIST_COUNT))
    return _SESSION_PAGES + in_flight * (3 * -(-answer // PAGE) + 4)


def parse(arguments: Sequence[str] | None) -> Options:
    """The options. Exits with status 2 and a message when they make no sense."""
    parser = argparse.ArgumentParser(
        prog="python -m examples.files",
        description="A file service over a kernel that charges its clients, in five steps: "
        "pipelining, a whole tree at once, an empty bank, a greedy client, the balances.",
        epilog="The exit status is 0 if every check holds, 1 if one does not, 2 for wrong options.",
    )
    parser.add_argument(
        "--tree",
        metavar="PATH",
        default=str(_PROJECT),
        help="the folder to serve (default: this project)",
    )
    parser.add_argument(
        "--hide",
        metavar="NAME",
        action="append",
        default=[],
        help="hide files and folders of this name too; may be repeated "
        f"(always hidden: {', '.join(sorted(HIDDEN))})",
    )
    parser.add_argument(
        "--in-flight",
        metavar="N",
        type=_number(1, _MOST_IN_FLIGHT),
        default=64,
        help="how many calls are under way at one time in step 2 (default: 64)",
    )
    parser.add_argument(
        "--chunk",
        metavar="BYTES",
        type=_number(1, READ_MAX),
        default=4 * PAGE - HEAD,
        help=f"how much of a file one call reads, up to {READ_MAX} (default: %(default)s)",
    )
    parser.add_argument(
        "--pages",
        metavar="N",
        type=_number(1, _MOST_PAGES),
        help="pages of 4096 bytes in the bank of the client in step 2 (default: enough for "
        "--in-flight calls of --chunk bytes)",
    )
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=_number(1, 1000),
        default=5,
        help="how often each side does step 2, in turns; the median counts (default: 5)",
    )
    parser.add_argument(
        "--seed",
        metavar="N",
        type=_number(0, (1 << 64) - 1),
        default=0,
        help="the simulated kernel's delays are drawn from it (default: 0)",
    )
    chosen = parser.parse_args(arguments)
    try:
        tree = Tree(chosen.tree, HIDDEN.union(chosen.hide))
    except ValueError as error:
        parser.error(f"argument --tree: {error}; name a folder that is there")
    pages = chosen.pages
    if pages is None:
        pages = min(enough_pages(chosen.in_flight, chosen.chunk), _MOST_PAGES)
    return Options(
        tree, chosen.in_flight, pages, chosen.seed, chosen.chunk, chosen.rounds, parser.error
    )


def _number(least: int, most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not possible; give a whole number from {least} to {most}"
            )
        return number

    return read
