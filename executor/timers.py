"""Timers: a heap of deadlines, and `sleep`."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final, Protocol, final

from pinfut.executor.current import current_executor
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker

_MIN_DEAD: Final = 64


class Timer(Protocol):
    """What has a deadline."""

    live: bool
    """Invariant: True from `Timers.push` until it has expired or was cancelled."""

    def expire(self) -> None:
        """The deadline is reached. Called once at most."""


@final
class Call:
    """A timer that calls a function."""

    __slots__ = ("_call", "live")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.live = False

    def expire(self) -> None:
        self._call()


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

    def push(self, deadline: float, timer: Timer) -> None:
        """Have `timer` expire once `deadline` is reached. It is not in here already."""
        self._order = order = self._order + 1
        timer.live = True
        heappush(self.heap, (deadline, order, timer))

    def add(self, deadline: float, call: Callable[[], object]) -> Call:
        """Have `call` called once `deadline` is reached."""
        timer = Call(call)
        self.push(deadline, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        """Take a timer back; a no-op when it has expired."""
        if not timer.live:
            return
        timer.live = False
        heap = self.heap
        if heap[-1][2] is timer:
            heap.pop()  # the last leaf of the heap: what a short timeout leaves as it ends
        else:
            self._dead += 1
        dead = self._dead
        if dead > _MIN_DEAD and dead * 2 > len(heap):
            heap[:] = [entry for entry in heap if entry[2].live]
            heapify(heap)
            self._dead = 0

    def next_deadline(self) -> float | None:
        """The first deadline, or None."""
        heap = self.heap
        while heap:
            if heap[0][2].live:
                return heap[0][0]
            heappop(heap)
            self._dead -= 1
        return None

    def fire(self, now: float) -> None:
        """Call what is due at `now`. Bounded: what these calls add waits for the next turn
        once as many as there were at the beginning have been seen."""
        heap = self.heap
        for _ in range(len(heap)):
            if not heap or heap[0][0] > now:
                return
            timer = heappop(heap)[2]
            if timer.live:
                timer.live = False
                timer.expire()
            else:
                self._dead -= 1


@final
class Sleep(FutureBase[None]):
    """Ready once its time has passed, counted from the first poll. It is its own timer."""

    __slots__ = ("_seconds", "_timers", "_waker", "live")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timers: Timers | None = None
        self.live = False

    def poll(self, cx: Context, /) -> Poll[None]:
        if self._timers is None:
            executor = current_executor()
            self._timers = executor.timers
            if not self._seconds:
                cx.waker.wake()  # no time to wait for, but the others come first
                return PENDING
            self._timers.push(executor.clock.now() + self._seconds, self)
        elif not self.live:
            return None
        self._waker: Waker = cx.waker
        return PENDING

    def expire(self) -> None:
        self._waker.wake()

    def drop(self) -> None:
        if self._timers is not None:
            self._timers.cancel(self)


def sleep(seconds: float) -> FutureBase[None]:
    """Wait for `seconds`: ``await sleep(0.1)``. Zero lets the other ready tasks run first, as
    `yield_now` does. Raises ValueError below 0 and for NaN."""
    if not seconds >= 0:
        raise ValueError(f"sleep takes a time of 0 s or more, not {seconds!r}")
    return Sleep(seconds)
