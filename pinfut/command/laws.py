"""Print the eight laws of polling, by which every future goes."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from pinfut.laws import LAWS


def add_arguments(parser: ArgumentParser) -> None:
    """None."""


def run(options: Namespace) -> int:
    """Print them."""
    for number, law in LAWS.items():
        print(f"{number}. {law}")
    return 0
