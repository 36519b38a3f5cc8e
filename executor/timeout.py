"""timeout: a block with a deadline, or a future with one."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Coroutine, Generator
from math import inf
from typing import Any, ClassVar, Final, TypeVar, final, overload

from pinfut.combinators import Awaited
from pinfut.core import accelerate
from pinfut.coroutine import CoroutineFuture, Interruptible, drivers, into_future
from pinfut.executor.block import Block, Shield
from pinfut.executor.contract import TimerQueue
from pinfut.executor.current import NO_TASK, NoExecutor, current_executor
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase, drop, let_go, pending
from pinfut.poll import PENDING, Context, Future, Poll, Waker

T = TypeVar("T")


@final
class Timeout(Block):
    """``with timeout(seconds):`` raises TimeoutError when the time is over.

    When it is, the coroutine gets CancelledError at the point where it waits, and the block turns
    that into TimeoutError on its way out. A cancel from elsewhere passes through as it is. Of
    nested deadlines the earliest counts; when several have passed, the outermost raises."""

    __slots__ = ("_seconds", "deadline", "live")

    # In seconds of the executor's clock; set on entry, or by who gives None for the seconds.
    deadline: float
    live: bool

    def __init__(self, seconds: float | None) -> None:
        # As `Block.__init__`, without the call.
        self.fired = False
        self._owner = None
        self._seconds = seconds

    def __enter__(self) -> Timeout:
        executor = self.open()
        seconds = self._seconds
        try:
            if seconds is None:
                deadline = self.deadline
            else:
                self.deadline = deadline = executor.clock.now() + seconds
            # The block is its own timer.
            executor.timers.push(deadline, self)
        except BaseException as error:
            self.close(error)
            raise
        return self

    def expire(self) -> None:
        self.fire()

    def __exit__(self, kind: object, error: BaseException | None, traceback: object, /) -> None:
        self.executor.timers.cancel(self)
        # Without an error the block's own CancelledError was swallowed inside of it.
        own = self.close(error)
        self.outer = None  # a dead entry of this may stay among the timers
        if own and (error is None or issubclass(type(error), CancelledError)):
            raise self.late() from error

    def ends(self, now: float) -> float:
        """The deadline of what begins `now`."""
        return self.deadline if self._seconds is None else now + self._seconds

    def late(self) -> TimeoutError:
        """The error for what took longer."""
        if self._seconds is None:
            return TimeoutError(f"timed out at {self.deadline} s, which was the deadline")
        return TimeoutError(f"timed out after {self._seconds} s")

    def __repr__(self) -> str:
        if self._seconds is None:
            return f"timeout_at({self.deadline})"
        return f"timeout({self._seconds})"


_GONE: Final[Future[Any]] = pending()


@final
class TimeoutFuture(FutureBase[T]):
    """A future polled in place, dropped once its time is over. It is its own timer."""

    __slots__ = ("_block", "_future", "_timers", "_waker", "live")

    def __init__(self, block: Timeout, future: Future[T]) -> None:
        self._block = block  # never entered: it knows the time
        self._future = future
        # Invariant: set from the first PENDING to the end.
        self._timers: TimerQueue | None = None
        self.live = False

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            value = cx.poll(self._future)
        except BaseException:
            self._cancel_timer()
            raise
        if value is not PENDING:
            self._cancel_timer()
            # In time, if only just: a value that is there is not thrown away.
            return value
        if self._timers is None:
            executor = current_executor()
            self._timers = executor.timers
            self._timers.push(self._block.ends(executor.clock.now()), self)
        elif not self.live:
            let_go(self._future)
            raise self._block.late()
        self._waker: Waker = cx.waker
        return PENDING

    def expire(self) -> None:
        self._waker.wake()

    def __del__(self) -> None:
        if self._timers is None:
            tell_if_forgotten(self, "_future")

    def _cancel_timer(self) -> None:
        timers, self._timers = self._timers, None
        if timers is not None:
            timers.cancel(self)
            # A dead entry may stay among the timers: what waited, and for what, does not with it.
            self._future = _GONE
            del self._waker

    def registrations(self) -> int:
        return self._timers.references if self._timers is not None and self.live else 0

    def drop(self) -> None:
        """Drop the future inside, and take the timer back."""
        future = self._future
        self._cancel_timer()
        drop(future)


async def _within(block: Timeout, coro: Any) -> Any:
    with block:
        return await coro


@final
class TimeoutCoroutine(FutureBase[T]):
    """A coroutine inside of a `Timeout`. Awaited by a coroutine it is a part of that, as the
    block would be; polled by a combinator it is driven in place."""

    __slots__ = ("_block", "_coro", "_future")

    must_be_taken: ClassVar[bool] = False  # a coroutine that is never awaited tells of itself

    def __init__(self, block: Timeout, coro: Coroutine[Any, Any, T]) -> None:
        self._block = block
        self._coro = coro
        self._future: CoroutineFuture[T] | None = None  # Invariant: None until it is polled

    def __await__(self) -> Generator[Any, Any, T]:
        if self._future is not None:
            return (yield from super().__await__())  # the value of its own poll
        value: T = yield from _within(self._block, self._coro).__await__()
        return value

    def poll(self, cx: Context, /) -> Poll[T]:
        if self._future is None:
            coro: Any = _within(self._block, self._coro)
            coro.__qualname__ = getattr(self._coro, "__qualname__", coro.__qualname__)
            self._future = CoroutineFuture(coro)
        return cx.poll(self._future)

    def drop(self) -> None:
        if self._future is None:
            self._coro.close()
        else:
            drop(self._future)


@overload
def timeout(seconds: float | None) -> Timeout: ...
@overload
def timeout(seconds: float | None, awaitable: Awaited[T]) -> FutureBase[T]: ...
def timeout(seconds: float | None, awaitable: Awaited[T] | None = None) -> Timeout | FutureBase[T]:
    """Bound what is awaited in a block: ``with timeout(1.5): await read()``; or one thing: ``await
    timeout(1.5, read())``. A coroutine runs inside of such a block then; any other future is polled
    in place and dropped when the time is over. With None there is no deadline. Raises TimeoutError
    from the block or the await, and ValueError for a time below 0 or NaN."""
    if seconds is None:
        return timeout_at(inf) if awaitable is None else timeout_at(inf, awaitable)
    if not seconds >= 0:
        raise ValueError(f"timeout takes a time of 0 s or more, or None, not {seconds!r}")
    if awaitable is None:
        return Timeout(seconds)
    return _bounded(Timeout(seconds), awaitable)


@overload
def timeout_at(deadline: float | None) -> Timeout: ...
@overload
def timeout_at(deadline: float | None, awaitable: Awaited[T]) -> FutureBase[T]: ...
def timeout_at(
    deadline: float | None, awaitable: Awaited[T] | None = None
) -> Timeout | FutureBase[T]:
    """As `timeout`, until a point in time: ``timeout_at(current_executor().now() + 1.5)``, in
    seconds of the executor's clock. One that has passed interrupts the first wait. Raises
    ValueError for NaN."""
    block = Timeout(None)
    block.deadline = deadline = inf if deadline is None else float(deadline)
    if deadline != deadline:
        raise ValueError(f"timeout_at takes a time of the clock, or None, not {deadline!r}")
    return block if awaitable is None else _bounded(block, awaitable)


def _bounded(block: Timeout, awaitable: Awaited[T]) -> FutureBase[T]:
    if isinstance(awaitable, Coroutine):
        return TimeoutCoroutine(block, awaitable)
    if block.ends(0) == inf:
        return into_future(awaitable)  # type: ignore[return-value]  # a future is all that is promised
    return TimeoutFuture(block, into_future(awaitable))


def current_deadline() -> float | None:
    """The earliest deadline of the timeouts around the running coroutine and its task, in
    seconds of the executor's clock; None without one. A shield hides those outside of it,
    and ``timeout(seconds, future)``, which is no block, is not seen. Raises NoExecutor."""
    executor = current_executor()
    task = executor.current
    if task is None and executor.first is None:
        raise NoExecutor(NO_TASK)
    earliest = inf
    # From the inside out. A first step that has no task yet has no block around it either.
    owners: list[Interruptible | None] = [*drivers(), task]
    for owner in owners:
        block: Block | None = owner.block if owner is not None else None
        while block is not None and not isinstance(block, Shield):
            if isinstance(block, Timeout) and block.deadline < earliest:
                earliest = block.deadline
            block = block.outer
        if block is not None:
            break
    return None if earliest == inf else earliest


accelerate(globals())
