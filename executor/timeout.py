"""timeout: a block with a deadline."""

from __future__ import annotations

from asyncio import CancelledError
from types import TracebackType
from typing import final

from pinfut.coroutine import Interruptible, drivers
from pinfut.executor.block import Block, Shield
from pinfut.executor.current import NoExecutor, current_executor


@final
class Timeout(Block):
    """``with timeout(seconds):`` raises TimeoutError when the time is over.

    When it is, the coroutine gets CancelledError at the point where it waits, and the block
    turns that into TimeoutError on its way out. A cancel from elsewhere passes through
    as it is. Of nested deadlines the earliest counts; when several have passed, the
    outermost raises.
    """

    __slots__ = ("_seconds", "deadline", "live")

    def __init__(self, seconds: float) -> None:
        # As `Block.__init__`, without the call.
        self.fired = False
        self._owner = None
        self._seconds = seconds

    def __enter__(self) -> Timeout:
        executor = self.open()
        # The block is its own timer. `deadline` is in seconds of the executor's clock.
        self.live = True
        self.deadline = executor.clock.now() + self._seconds
        executor.timers.push(self.deadline, self)
        return self

    def expire(self) -> None:
        """The time is over. For the timers."""
        self.fire()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.executor.timers.cancel(self)
        # Without an error the block's own CancelledError was swallowed inside of it.
        if self.close() and (error is None or isinstance(error, CancelledError)):
            raise TimeoutError(f"timed out after {self._seconds} s") from error


def timeout(seconds: float) -> Timeout:
    """Bound what is awaited in a block: ``with timeout(1.5): await read()``.

    Raises TimeoutError from the block, and ValueError for a time below 0 or NaN.
    """
    if not seconds >= 0:
        raise ValueError(f"timeout takes a time of 0 s or more, not {seconds!r}")
    return Timeout(seconds)


def current_deadline() -> float | None:
    """The earliest deadline of the timeouts around the running coroutine and its task, in
    seconds of the executor's clock; None without one. A shield hides those outside of it.
    Raises NoExecutor.
    """
    executor = current_executor()
    task = executor.current
    if task is None and executor.first is None:
        raise NoExecutor("no task is running here; call this from inside a coroutine")
    earliest: float | None = None
    # From the inside out. A first step that has no task yet has no block around it either.
    owners: list[Interruptible | None] = [*drivers(), task]
    for owner in owners:
        block: Block | None = owner.block if owner is not None else None
        while block is not None:
            if isinstance(block, Shield):
                return earliest
            if isinstance(block, Timeout) and (earliest is None or block.deadline < earliest):
                earliest = block.deadline
            block = block.outer
    return earliest
