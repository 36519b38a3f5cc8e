"""Nests of futures, as deep as the stack holds: ``python -m tests.pinfut.nests`` polls and drops
the deepest of each kind, and prints of each how deep it was and what was left of it.

A program of its own, for what the tests import takes the stack of each drop twice.
"""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

import pinfut
from pinfut import (
    StreamBase,
    buffered,
    from_iterable,
    join,
    merge,
    pin,
    race,
    select,
    shared,
    try_join,
)
from pinfut.executor import CancelledError, current_executor, run, sleep, spawn, yield_now

MOST: Final = 1_200
"""Levels; the interpreter's limit is 1,000 frames."""

MARGIN: Final = 2
"""Levels that are left to what begins a drop and what ends it."""


class Nest:
    """`levels` futures, each around the one before."""

    def __init__(self, wrap: Wrap, levels: int) -> None:
        self.begun = 0
        self.ended = 0
        self.future: Awaitable[Any] = sleep(1000)
        self.items: StreamBase[Any] | None = None
        for _ in range(levels):
            self.future = wrap(self)

    def stream(self, wrap: Callable[[StreamBase[Any]], StreamBase[Any]]) -> Awaitable[Any]:
        """One more level of streams, and who takes an item of them all."""
        if self.items is None:
            self.items = buffered(from_iterable([self.future]), 1)
        self.items = wrap(self.items)
        return self.takes(self.items)

    async def takes(self, items: StreamBase[Any]) -> None:
        self.begun += 1
        try:
            async with items:
                await items.next()
        finally:
            self.ended += 1

    async def awaits(self, inner: Awaitable[Any]) -> None:
        self.begun += 1
        try:
            await inner
        finally:
            self.ended += 1


Wrap: TypeAlias = Callable[[Nest], Awaitable[Any]]

KINDS: Final[dict[str, Wrap]] = {
    "join": lambda nest: join(nest.future),
    "try_join": lambda nest: try_join(nest.future, sleep(1000)),
    "race": lambda nest: race(nest.future, sleep(1000)),
    "select": lambda nest: select(nest.future, sleep(1000)),
    "pin": lambda nest: join(pin(nest.future)),
    "shared": lambda nest: shared(nest.future),
    "map": lambda nest: pinfut.map(nest.future, str),
    "mapped streams": lambda nest: nest.stream(lambda items: items.map(str)),
    "merged streams": lambda nest: nest.stream(lambda items: merge(items)),
    "coroutine in a join": lambda nest: join(nest.awaits(nest.future)),
    "coroutine in a race": lambda nest: race(nest.awaits(nest.future), sleep(1000)),
}


async def cancel(wrap: Wrap, levels: int) -> tuple[bool, int, int]:
    """Whether a nest can be polled; then, after a cancel, how many deadlines are left, and
    clean-ups."""
    nest = Nest(wrap, levels)

    async def waits(future: Awaitable[Any]) -> None:
        await future

    task = spawn(waits(nest.future))
    del nest.future
    for _ in range(2):
        await yield_now()
    polled = not task.done
    task.cancel()
    with suppress(CancelledError, RecursionError, ExceptionGroup):
        await task
    return polled, len(current_executor().timers), nest.begun - nest.ended


def deepest(wrap: Wrap) -> int:
    """The most levels that can be polled."""
    levels, beyond = 1, MOST
    while beyond - levels > 1:
        middle = (levels + beyond) // 2
        polled = run(cancel(wrap, middle))[0]
        levels, beyond = (middle, beyond) if polled else (levels, middle)
    return levels


def main() -> None:
    warnings.simplefilter("ignore")  # what the stack does not hold is not awaited, either
    logging.disable()
    for kind, wrap in KINDS.items():
        levels = deepest(wrap)
        print(f"{kind}: {levels}", *run(cancel(wrap, levels - MARGIN)), flush=True)


if __name__ == "__main__":
    thread = threading.Thread(target=main)  # its stack is empty
    thread.start()
    thread.join()
