"""Timers: a heap of deadlines, and `sleep`."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import inf
from typing import ClassVar, Final, final

from pinfut.core import accelerate
from pinfut.executor.contract import Timer, TimerQueue
from pinfut.executor.current import current_executor, report_call
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker

MIN_DEAD: Final = 64
"""So many dead entries are left alone."""

STRIDE: Final = 8
"""Entries of the old heap that are moved over at once. With 8, an old heap of n is gone when
n / 8 timers have gone: 3n / 8 are left alive at least, and 5n / 8 are dead at most."""

AT_ONCE: Final = 512
"""Entries that are taken off the top in one turn."""


@final
class Call:
    """A timer that calls a function."""

    __slots__ = ("_call", "live")

    def __init__(self, call: Callable[[], object]) -> None:
        self._call = call
        self.live = False

    def expire(self) -> None:
        self._call()

    def forget(self) -> None:
        """It was cancelled: a dead entry may stay here, and what was to be called does not."""
        self._call = int


class Timers:
    """The deadlines of one executor: a `contract.TimerQueue`.

    Each call does a bounded amount of work, however many timers there are. Cancelling leaves
    a dead entry in the heap. When more than half are dead, a new heap is begun, and whenever
    a timer goes a few entries of the old one are moved over. So there are at most twice as
    many dead entries as live ones, and twice MIN_DEAD."""

    __slots__ = ("_dead", "_old", "_order", "heap")

    references: ClassVar[int] = 1

    def __init__(self) -> None:
        # (deadline, order, timer): the older of equal deadlines first, by numbers alone.
        self.heap: list[tuple[float, int, Timer]] = []
        # What is left of the heap of before, a heap too. Empty unless it is being cleaned.
        self._old: list[tuple[float, int, Timer]] = []
        self._dead = 0  # Invariant: as many entries of both have been cancelled
        self._order = 0

    def __len__(self) -> int:
        return self.entries - self._dead

    @property
    def entries(self) -> int:
        """How many entries there are, the dead ones included."""
        return len(self.heap) + len(self._old)

    def push(self, deadline: float, timer: Timer, /) -> None:
        """Have `timer` expire at `deadline`. Once in its life: a dead entry may still be here."""
        self._order = order = self._order + 1
        timer.live = True
        heappush(self.heap, (deadline, order, timer))

    def add(self, deadline: float, call: Callable[[], object]) -> Call:
        timer = Call(call)
        self.push(deadline, timer)
        return timer

    def cancel(self, timer: Timer) -> None:
        if not timer.live:
            return
        timer.live = False
        if type(timer) is Call:
            timer.forget()
        heap = self.heap
        if heap and heap[-1][2] is timer:
            heap.pop()  # the last leaf of the heap: what a short timeout leaves as it ends
        else:
            self._dead += 1
        dead = self._dead
        if dead > MIN_DEAD and dead * 2 > len(heap):
            self._clean()

    def clear(self) -> None:
        for _, _, timer in [*self.heap, *self._old]:
            if timer.live:
                self.cancel(getattr(timer, "timer", timer))  # a watched one stands for another
        self.heap.clear()
        self._old.clear()
        self._dead = 0

    def _clean(self) -> None:
        """Move a few entries over, from the end: what is left stays a heap."""
        if not self._old:
            self.heap, self._old = self._old, self.heap
        heap, old = self.heap, self._old
        for _ in range(min(len(old), STRIDE)):
            entry = old.pop()
            if entry[2].live:
                heappush(heap, entry)
            else:
                self._dead -= 1

    def _first(self) -> list[tuple[float, int, Timer]]:
        """The heap whose first entry is the first of all."""
        heap, old = self.heap, self._old
        return old if old and (not heap or old[0] < heap[0]) else heap

    def next_deadline(self) -> float | None:
        """The first deadline, None if infinite; maybe too early behind AT_ONCE dead entries."""
        if not self._old:  # each sleep asks
            if not self.heap:
                return None
            deadline, _, timer = self.heap[0]
            if timer.live and deadline < inf:
                return deadline
        for _ in range(AT_ONCE):
            heap = self._first()
            if not heap:
                return None
            if heap[0][2].live:
                return heap[0][0] if heap[0][0] < inf else None
            heappop(heap)
            self._dead -= 1
        heap = self._first()
        return heap[0][0] if heap else None

    def fire(self, now: float) -> None:
        """Call what is due at `now`, up to AT_ONCE entries of those that are here when it
        begins; the others, and what these calls add, wait for the next time."""
        for _ in range(min(self.entries, AT_ONCE)):
            heap = self._first()
            if not heap or heap[0][0] > now:
                return
            timer = heappop(heap)[2]
            if timer.live:
                timer.live = False
                try:
                    timer.expire()
                except BaseException as error:
                    report_call(timer.expire, error)
                if self._dead > MIN_DEAD and self._dead * 2 > len(self.heap):
                    self._clean()
            else:
                self._dead -= 1


@final
class Sleep(FutureBase[None]):
    """Ready once its time has passed, counted from the first poll. It is its own timer."""

    __slots__ = ("_seconds", "_timers", "_waker", "live")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._timers: TimerQueue | None = None
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

    def registrations(self) -> int:
        return self._timers.references if self._timers is not None and self.live else 0

    def __del__(self) -> None:
        if self._timers is None:
            tell_if_forgotten(self)

    def drop(self) -> None:
        if self._timers is not None and self.live:
            self._timers.cancel(self)
            del self._waker  # a dead entry may stay among the timers: the task does not with it


def sleep(seconds: float) -> FutureBase[None]:
    """Wait for `seconds`: ``await sleep(0.1)``. Zero lets the other ready tasks run first, as
    `yield_now` does. Raises ValueError below 0 and for NaN."""
    if not seconds >= 0:
        raise ValueError(f"sleep takes a time of 0 s or more, not {seconds!r}")
    return Sleep(seconds)


accelerate(globals())
