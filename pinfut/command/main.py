"""main: finds the subcommand, loads it and no other, and turns how it ends into an exit status."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import Final

import pinfut

SUBCOMMANDS: Final = {
    "info": "versions, settings, and which optional parts are there",
    "laws": "the eight laws of polling",
    "rules": "the rules of paying, each with the test that holds it",
    "rows": "what the design notes ask for, each with its answer, its test and its mutant",
    "prices": "each price, beside what one of the kind takes on this interpreter",
    "slopes": "what more of a kind costs a client, and takes at the server",
    "hostile": "what hostile clients come to: who pays, and what others notice",
    "simulate": "random histories with faults: run many, replay one, shrink one",
    "record": "run a program, and keep what happened step by step as a trace",
    "show": "turn a trace into a page that opens from disk, or into one for Perfetto",
    "layout": "the frame of an unboxed function: its size, its slots, where it waits",
    "learn": "lessons in how futures are polled, in a browser",
    "source": "what was made of an unboxed function's source",
}
"""Each is a module of this package, with `add_arguments(parser)` and `run(options) -> status`."""


def make_parser(words: Sequence[str]) -> ArgumentParser:
    """The parser of a command line. Only subcommands that are named in `words` are loaded."""
    parser = ArgumentParser(
        prog="pinfut", description="A coroutine runtime in which memory is part of the contract."
    )
    parser.add_argument("--version", action="version", version=f"pinfut {pinfut.__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, text in SUBCOMMANDS.items():
        subcommand = commands.add_parser(name, help=text)
        if name in words:
            module = import_module(f"pinfut.command.{name}")
            subcommand.description = module.__doc__
            module.add_arguments(subcommand)
            subcommand.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv`; its exit status. Raises SystemExit as argparse does."""
    words = sys.argv[1:] if argv is None else argv
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may know ASCII only
    try:
        try:
            return _run(make_parser(words).parse_args(words))
        finally:
            print(end="", flush=True)  # a reader that went away is found here, not at exit
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _give_up_output()
        return 141
    except OSError as error:
        _give_up_output()
        print(f"pinfut: error: {error}", file=sys.stderr)
        return 1


def _give_up_output() -> None:
    """The interpreter flushes once more at its end; that must not fail too."""
    if sys.stdout is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(options: Namespace) -> int:
    try:
        return int(options.run(options))
    except ArgumentError as error:
        print(f"pinfut {options.command}: error: {error}", file=sys.stderr)
        return 2
