"""progress: how far long work is, on a terminal's standard error and nowhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from itertools import count
from typing import Final, TypeVar

T = TypeVar("T")

WIDTH: Final = 30
"""Signs of a bar that is full."""


def progress(results: Iterable[T], total: int, what: str) -> Iterator[T]:
    """The results, which work makes one by one. The bar stands only while the next one is made,
    so that the one who takes a result may print."""
    if not sys.stderr.isatty():
        yield from results
        return
    begin = time.monotonic()
    making = iter(results)
    line = ""
    try:
        for done in count():
            line = bar(done, total, what, time.monotonic() - begin)
            _draw(line + "\r")
            try:
                result = next(making)
            except StopIteration:
                return
            _erase(line)
            yield result
    finally:  # also when Ctrl-C comes between any two of these lines
        _erase(line)


def _erase(line: str) -> None:
    _draw("\r" + " " * len(line) + "\r")


def _draw(text: str) -> None:
    """In one piece, so that Ctrl-C does not come in the middle of it."""
    sys.stderr.write(text)
    sys.stderr.flush()


def bar(done: int, total: int, what: str, seconds: float) -> str:
    """One line: how much of `total` is done after so many seconds, and how long the rest takes
    if it goes on like that."""
    full = WIDTH * done // total
    line = f"{what} [{'#' * full}{'.' * (WIDTH - full)}] {done} of {total}"
    if not done:
        return line
    left = round(seconds / done * (total - done))
    return f"{line}, {left // 60}:{left % 60:02} left"
