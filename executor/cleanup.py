"""What was dropped cleans up: the executor polls a dropped coroutine until its clean-up is over.

If the clean-up of a coroutine that a combinator drops waits, it becomes a task, shielded::

    dropped ──its clean-up waits──▶ a task ──it ends──▶ done (its error is reported)
                                      │
                                      └──after CLEAN_UP seconds──▶ reported, and closed for good
"""

from __future__ import annotations

from asyncio import CancelledError
from functools import partial
from typing import Any, Final, final

from pinfut import laws
from pinfut.coroutine import CleansUp, CoroutineFuture, yield_now
from pinfut.executor.block import shield
from pinfut.executor.contract import Runner
from pinfut.executor.current import running
from pinfut.executor.deadlock import inside
from pinfut.executor.timeout import timeout_at
from pinfut.future import FutureBase, drop
from pinfut.laws import describe
from pinfut.places import suspended_at
from pinfut.poll import Context, Poll

CLEAN_UP: Final = 10.0
"""Seconds of the executor's clock that the clean-up of a dropped coroutine may take; from the
beginning of the end of a run on, for all of them together."""


@final
class CleanUp(FutureBase[object]):
    """A dropped coroutine, polled on; it notes where that stood when its time was over."""

    __slots__ = ("_future", "where")

    def __init__(self, future: CoroutineFuture[Any]) -> None:
        self._future = future
        self.where: str | None = None  # set when it is closed before its end

    def poll(self, cx: Context, /) -> Poll[object]:
        try:
            return cx.poll(self._future)
        except (CancelledError, GeneratorExit, StopAsyncIteration):
            return None  # what it was dropped with

    def drop(self) -> None:
        """Close the coroutine for good."""
        self.where = f"{describe(self._future._leaf)}, at {suspended_at(self._future._coro)}"
        drop(self._future)


def find_cleaner() -> CleansUp | None:
    """The executor of this thread, while it runs and does not close a task for good."""
    executor = running.executor
    return None if executor is None or executor.ending else partial(_take, executor)


def _take(executor: Runner, left: CoroutineFuture[Any]) -> None:
    if laws.recording:
        # What it goes on waiting for is polled by another task from here on.
        for future in inside(left):
            record = getattr(future, "_law", None)
            if record is not None:
                record.owner = record.where = None
    name = getattr(left._coro, "__qualname__", type(left._coro).__name__)
    until = min(executor.clock.now() + CLEAN_UP, executor.clean_ups_end)
    coro = _run(executor, CleanUp(left), name, until)
    coro.send(None)
    executor.spawn(coro, name=f"clean-up of {name}")


async def _run(executor: Runner, wait: CleanUp, name: str, until: float) -> None:
    cancelled: CancelledError | None = None
    try:
        # `_take` sends it up to here, so that it hears of an end that comes before its first step.
        await yield_now()
    except CancelledError as error:
        cancelled = error
    except GeneratorExit:
        wait.drop()
        raise
    with shield():
        try:
            await timeout_at(until, wait)
        except TimeoutError as error:
            if wait.where is None:
                raise
            error.args = (
                f"{name} was dropped, and its clean-up still waited for {wait.where} when its "
                f"time was over ({CLEAN_UP} s, which all share that are left at the end of a run); "
                "it was closed there. Bound what a clean-up waits for, with a timeout inside of it",
            )
            executor.report(f"clean-up of {name}", error)
    if cancelled is not None:
        raise CancelledError
