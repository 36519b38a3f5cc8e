"""``python -m benches.levels``: how long an urgent call waits for a handler that computes.

Three ways to serve two levels: by one thread, by a thread with an executor for each level, and by
one thread where what computes is called in another (`to_thread`). A third party, in a thread of its
own, makes a high call while a low handler computes.
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from queue import SimpleQueue
from typing import Final, Protocol

from pinfut.executor import run, to_thread
from pinfut.executor.contract import Priority
from pinfut.rpc import Interface, SimKernel, connect, method, serve, sync

ONE: Final = "one thread"
EACH: Final = "a thread for each level"
APART: Final = "one thread, what computes in another"
WAYS: Final = (ONE, EACH, APART)

COMPUTES: Final = 0.2
"""Seconds that a low handler computes."""

_LEVELS: Final[tuple[Priority, ...]] = ("low", "high")


class Level(Interface, Protocol):
    """What each level serves."""

    @method
    async def work(self) -> int: ...


class LevelServer(Level):
    """Computes in its handler, or in a thread."""

    def __init__(self, compute: Callable[[], int], apart: bool) -> None:
        self._compute = compute
        self._apart = apart

    @method
    async def work(self) -> int:
        return await to_thread(self._compute) if self._apart else self._compute()


def _one() -> int:
    return 1


@contextmanager
def served(way: str, compute: Callable[[], int]) -> Iterator[dict[Priority, Level]]:
    """Both levels, by level; the low one computes. To be called from this thread."""
    threads = [(level,) for level in _LEVELS] if way == EACH else [_LEVELS]
    ready: SimpleQueue[tuple[Priority, Level]] = SimpleQueue()
    over = threading.Event()

    async def main(levels: tuple[Priority, ...]) -> None:
        kernel = SimKernel()
        async with AsyncExitStack() as stack:
            for level in levels:
                root = (
                    LevelServer(compute, way == APART)
                    if level == "low"
                    else LevelServer(_one, False)
                )
                await stack.enter_async_context(serve(kernel, level, root))
                bank = kernel.bank(f"of {level}", pages=64)
                to = connect(kernel, level, Level, bank, priority=level)
                ready.put((level, await stack.enter_async_context(to)))
            await to_thread(over.wait)

    running = [threading.Thread(target=lambda one=one: run(main(one))) for one in threads]
    for thread in running:
        thread.start()
    try:
        yield dict(ready.get(timeout=60) for _ in _LEVELS)
    finally:
        over.set()
        for thread in running:
            thread.join()


def high_call(levels: dict[Priority, Level], began: threading.Event) -> float:
    """Seconds that a high call takes which is made once the low handler computes."""
    began.clear()
    low = threading.Thread(target=partial(sync.call, levels["low"].work))
    low.start()
    assert began.wait(60), "the low handler never began"
    start = time.perf_counter()
    sync.call(levels["high"].work)
    took = time.perf_counter() - start
    low.join()
    return took


def main(rounds: int = 15) -> None:
    began = threading.Event()

    def compute() -> int:
        until = time.perf_counter() + COMPUTES
        began.set()
        while time.perf_counter() < until:
            pass
        return 0

    usual = sys.getswitchinterval()
    print(f"a low handler computes {COMPUTES * 1e3:.0f} ms; ms of a high call, median and longest")
    try:
        for interval in (usual, usual / 10):
            sys.setswitchinterval(interval)
            for way in WAYS:
                with served(way, compute) as levels:
                    sync.call(levels["high"].work)
                    took = [1e3 * high_call(levels, began) for _ in range(rounds)]
                what = f"{way}, switch interval {interval * 1e3:g} ms"
                print(f"{what:<60}{statistics.median(took):8.1f}{max(took):8.1f}")
    finally:
        sys.setswitchinterval(usual)


if __name__ == "__main__":
    main()
