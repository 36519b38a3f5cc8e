"""Timers: a heap of deadlines, `sleep`, and `timeout`, as a block and as a future."""

from __future__ import annotations

import heapq
from asyncio import CancelledError
from collections.abc import Callable
from types import TracebackType
from typing import Final, TypeVar, final, overload

from pinfut.combinators import Awaited
from pinfut.coroutine import into_future
from pinfut.executor.current import current_executor
from pinfut.executor.task import Block
from pinfut.future import Future, FutureBase, drop
from pinfut.poll import PENDING, Context, Poll, Waker

T = TypeVar("T")

_MIN_DEAD: Final = 64


@final
class Timer:
    """What to call at a deadline."""

    __slots__ = ("call",)

    def __init__(self, call: Callable[[], None]) -> None:
        # Invariant: None once fired or cancelled.
        self.call: Callable[[], None] | None = call


@final
class Timers:
    """The deadlines of one executor.

    Cancelling is O(1): the entry stays in the heap as a dead one, and when more than
    half are dead the heap is built again, which is O(1) for each of them.
    """

    __slots__ = ("_dead", "_order", "heap")

    def __init__(self) -> None:
        # Entries are (deadline, order, timer): of equal deadlines the older comes first,
        # and the heap compares numbers only, which the interpreter does in C.
        # Invariant: _dead of them have been cancelled.
        self.heap: list[tuple[float, int, Timer]] = []
        self._dead = 0
        self._order = 0

    def __len__(self) -> int:
        return len(self.heap) - self._dead

    def add(self, deadline: float, call: Callable[[], None]) -> Timer:
        """Have `call` called once `deadline` is reached."""
        self._order = order = self._order + 1
        timer = Timer(call)
        heapq.heappush(self.heap, (deadline, order, timer))
        return timer

    def cancel(self, timer: Timer) -> None:
        """Take a timer back; a no-op when it has fired."""
        if timer.call is None:
            return
        timer.call = None
        heap = self.heap
        if heap[-1][2] is timer:
            heap.pop()  # the last leaf of the heap: what a short timeout leaves as it ends
        else:
            self._dead += 1
        if self._dead > _MIN_DEAD and self._dead * 2 > len(heap):
            heap[:] = [entry for entry in heap if entry[2].call is not None]
            heapq.heapify(heap)
            self._dead = 0

    def next_deadline(self) -> float | None:
        """The first deadline, or None."""
        heap = self.heap
        while heap:
            if heap[0][2].call is not None:
                return heap[0][0]
            heapq.heappop(heap)
            self._dead -= 1
        return None

    def fire(self, now: float) -> None:
        """Call what is due at `now`. Bounded: what these calls add waits for the next turn
        once as many as there were at the beginning have been seen."""
        heap = self.heap
        for _ in range(len(heap)):
            if not heap or heap[0][0] > now:
                return
            timer = heapq.heappop(heap)[2]
            call, timer.call = timer.call, None
            if call is None:
                self._dead -= 1
            else:
                call()


@final
class Sleep(FutureBase[None]):
    """Ready once its time has passed, counted from the first poll."""

    __slots__ = ("_fired", "_seconds", "_timer", "_timers", "_waker")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timer: Timer | None = None
        self._waker: Waker | None = None
        self._fired = False

    def poll(self, cx: Context, /) -> Poll[None]:
        if self._fired:
            return None
        self._waker = cx.waker
        if self._timer is None:
            executor = current_executor()
            self._timers = executor.timers
            self._timer = self._timers.add(executor.now() + self._seconds, self._fire)
        return PENDING

    def _fire(self) -> None:
        self._fired = True
        if self._waker is not None:
            self._waker.wake()

    def drop(self) -> None:
        if self._timer is not None:
            self._timers.cancel(self._timer)


def sleep(seconds: float) -> FutureBase[None]:
    """Wait for `seconds`: ``await sleep(0.1)``. Raises ValueError below 0 and for NaN."""
    if not seconds >= 0:
        raise ValueError(f"sleep takes a time of 0 s or more, not {seconds!r}")
    return Sleep(seconds)


@final
class Timeout(Block):
    """``with timeout(seconds):`` raises TimeoutError when the time is over.

    When it is, the task gets CancelledError at the point where it waits, and the block
    turns that into TimeoutError on its way out. A cancel from elsewhere passes through
    as it is.
    """

    __slots__ = ("_seconds", "_timer")

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self._seconds = seconds

    def __enter__(self) -> Timeout:
        self.open()
        executor = self.executor
        self._timer = executor.timers.add(executor.now() + self._seconds, self.fire)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self.fired:
            self.executor.timers.cancel(self._timer)
        # Without an error the block's own CancelledError was swallowed inside of it.
        if self.close() and (error is None or isinstance(error, CancelledError)):
            raise TimeoutError(f"timed out after {self._seconds} s") from error


@final
class TimeoutFuture(FutureBase[T]):
    """A future polled in place, that is given up once its time, counted from the first
    poll, has passed."""

    __slots__ = ("_expired", "_future", "_seconds", "_timer", "_timers", "_waker")

    def __init__(self, seconds: float, future: Future[T]) -> None:
        self._seconds = seconds
        self._future = future
        self._timer: Timer | None = None
        self._waker: Waker | None = None
        self._expired = False

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            value = cx.poll(self._future)
        except BaseException:
            self._cancel_timer()
            raise
        if value is not PENDING:
            # In time, if only just: a value that is there is not thrown away.
            self._cancel_timer()
            return value
        if self._expired:
            drop(self._future)
            raise TimeoutError(f"timed out after {self._seconds} s")
        self._waker = cx.waker
        if self._timer is None:
            executor = current_executor()
            self._timers = executor.timers
            self._timer = self._timers.add(executor.now() + self._seconds, self._fire)
        return PENDING

    def _fire(self) -> None:
        self._expired = True
        if self._waker is not None:
            self._waker.wake()

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timers.cancel(self._timer)

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
