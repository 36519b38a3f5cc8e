"""A handler's frame: from the interpreter, or from a pool of frames of one size.

`python -m benches.compare.frames` prints the instructions of a call of two functions, one in the
other, that do not wait: as handlers run, and from a pool (docs/unboxed.md). Needs valgrind."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable

from benches.callgrind import CallgrindFailed, count
from benches.compare.suite import run
from benches.probe import BenchFunction, Probe, Suite
from benches.registry import System
from pinfut.unboxed import pool, unboxed

OPS = 2_000


@unboxed
async def inner(n: int) -> int:
    return n + 1


@unboxed
async def handler(n: int) -> int:
    return await inner(n) + 1


def _bench(begin: Callable[[int], Awaitable[int]]) -> BenchFunction:
    async def rounds(probe: Probe) -> None:
        for ops in probe.timed():
            for n in range(ops):
                assert await begin(n) == n + 2

    return rounds


FRAMES = pool(handler)


async def around(n: int) -> int:
    """What a task of it would be: a task takes a coroutine of the interpreter's."""
    return await FRAMES.begin(n)


SUITE = Suite(
    run, {"called": _bench(handler), "pool": _bench(FRAMES.begin), "pool-task": _bench(around)}
)


def instructions() -> dict[str, float]:
    """Of one call, by where its frame is from. Raises CallgrindFailed."""
    counts, failures = count(
        System("frames", __name__), dict.fromkeys(SUITE.benches, OPS), lambda _: None
    )
    if failures:
        raise CallgrindFailed(str(failures))
    return counts


if __name__ == "__main__":
    # By its name, under which the child imports it.
    from benches.compare import frames

    for name, value in frames.instructions().items():
        sys.stdout.write(f"{name:<10}{value:8,.0f}\n")
