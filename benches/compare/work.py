"""What the designs of a call are given to do, the same for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from benches.compare.calls import Calls
from benches.compare.objects import ObjectCalls
from benches.compare.queues import QueueCalls
from benches.compare.slots import CellCalls, SlotCalls

SIZE: Final = 16
DESIGNS: Final[Mapping[str, type[Calls]]] = {
    "slots": SlotCalls,
    "cells": CellCalls,
    "objects": ObjectCalls,
    "queues": QueueCalls,
}


def echo(x: int, data: bytes) -> bytes:
    return data


def batch(calls: Calls, n: int) -> None:
    """`n` calls in flight, answered together."""
    data = bytes(SIZE)
    for _ in range(n):
        if calls.start(data) is None:  # as many as there is room for on the way
            calls.submit()
            calls.serve()
            assert calls.start(data) is not None
    calls.submit()
    calls.serve()
    calls.publish()
    for x in calls.collect():
        calls.take(x)


def chain(calls: Calls, n: int) -> None:
    """`n` calls, each on the answer of the one before; the last answer is taken."""
    x = None
    for _ in range(n):
        x = calls.start(b"" if x is not None else bytes(SIZE), x)
        assert x is not None
    calls.submit()
    calls.serve()
    calls.publish()
    for x in calls.collect():
        calls.take(x)


def cancelled(calls: Calls, n: int) -> None:
    """`n` calls whose server takes its time; each is cancelled, and then let go of."""
    tokens = [calls.start(bytes(SIZE)) for _ in range(n)]
    calls.submit()
    calls.serve()
    for x in tokens:
        assert x is not None
        calls.cancel(x)
    calls.submit()
    calls.serve()
    for x in tokens:
        assert x is not None
        calls.finish(x, b"late")
    calls.publish()
    assert calls.collect() == []


def mixed(calls: Calls, n: int) -> None:
    """A quarter is cancelled, a quarter waits for another, the rest is answered at once."""
    started: list[int] = []
    for i in range(n):
        x = calls.start(bytes(8), started[-1] if i % 4 == 3 else None)
        assert x is not None
        started.append(x)
    for i in range(0, n, 4):
        calls.cancel(started[i])
    calls.submit()
    calls.serve()
    calls.publish()
    for x in calls.collect():
        calls.take(x)


def later(x: int, data: bytes) -> None:
    return None


WORK: Final[Mapping[str, tuple[Callable[[Calls, int], None], int]]] = {
    "alone": (batch, 1),
    "batch-64": (batch, 64),
    "batch-1000": (batch, 1_000),
    "chain-10": (chain, 10),
    "cancel-64": (cancelled, 64),
    "mix-64": (mixed, 64),
}
"""By name: what is done, and with how many calls in flight."""


def places(work: str) -> int:
    """How many open calls a design is made for: what the work has in flight, and 64 at least."""
    return max(WORK[work][1], 64)


def made(design: str, work: str) -> Calls:
    """A design with room for the work."""
    return DESIGNS[design](places(work), SIZE, later if work == "cancel-64" else echo)
