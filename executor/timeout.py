"""timeout: a block with a deadline, or a future with one."""

from __future__ import annotations

from asyncio import CancelledError
from types import TracebackType
from typing import Any, TypeVar, final, overload

from pinfut.combinators import Awaited
from pinfut.coroutine import CoroutineFuture, Interruptible, drivers, into_future
from pinfut.executor.block import Block, Shield
from pinfut.executor.contract import TimerQueue
from pinfut.executor.current import NoExecutor, current_executor
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase, drop, let_go
from pinfut.poll import PENDING, Context, Future, Poll, Waker

T = TypeVar("T")


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


@final
class TimeoutFuture(FutureBase[T]):
    """A future polled in place, that is given up once its time, counted from the first
    poll, has passed: a coroutine is interrupted, as in a block, and may clean up; any other
    future is dropped. It is its own timer."""

    __slots__ = ("_future", "_late", "_seconds", "_timers", "_waker", "live")

    def __init__(self, seconds: float, future: Future[T]) -> None:
        self._seconds = seconds
        self._future = future
        # Invariant: set from the first PENDING on.
        self._timers: TimerQueue | None = None
        self.live = False
        # Whether the coroutine was interrupted.
        self._late = False

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            value = cx.poll(self._future)
        except CancelledError as error:
            self._cancel_timer()
            if self._late:
                raise self._error() from error
            raise
        except BaseException:
            self._cancel_timer()
            raise
        if value is not PENDING:
            self._cancel_timer()
            if self._late:
                raise self._error()
            # In time, if only just: a value that is there is not thrown away.
            return value
        if self._timers is None:
            executor = current_executor()
            self._timers = executor.timers
            self._timers.push(executor.clock.now() + self._seconds, self)
        elif not self.live and not self._late:
            future: Any = self._future
            if not isinstance(future, CoroutineFuture):
                let_go(future)
                raise self._error()
            self._late = True
            future.interrupt()
            return self.poll(cx)
        self._waker: Waker = cx.waker
        return PENDING

    def _error(self) -> TimeoutError:
        return TimeoutError(f"timed out after {self._seconds} s")

    def expire(self) -> None:
        """The time is over. For the timers."""
        self._waker.wake()

    def __del__(self) -> None:
        if self._timers is None:
            tell_if_forgotten(self, "_future")

    def _cancel_timer(self) -> None:
        if self._timers is not None:
            self._timers.cancel(self)

    def registrations(self) -> int:
        return self._timers.references if self._timers is not None and self.live else 0

    def drop(self) -> None:
        """Drop the future inside, and take the timer back."""
        self._cancel_timer()
        drop(self._future)


@overload
def timeout(seconds: float) -> Timeout: ...
@overload
def timeout(seconds: float, awaitable: Awaited[T]) -> FutureBase[T]: ...
def timeout(seconds: float, awaitable: Awaited[T] | None = None) -> Timeout | FutureBase[T]:
    """Bound what is awaited in a block: ``with timeout(1.5): await read()``; or one future:
    ``await timeout(1.5, read())``, which polls it in place and drops it when the time is over.

    Raises TimeoutError from the block or the await, and ValueError for a time below 0 or NaN.
    """
    if not seconds >= 0:
        raise ValueError(f"timeout takes a time of 0 s or more, not {seconds!r}")
    if awaitable is None:
        return Timeout(seconds)
    return TimeoutFuture(seconds, into_future(awaitable))


def current_deadline() -> float | None:
    """The earliest deadline of the timeouts around the running coroutine and its task, in
    seconds of the executor's clock; None without one. A shield hides those outside of it,
    and ``timeout(seconds, awaitable)``, which is no block, is not seen. Raises NoExecutor.
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
