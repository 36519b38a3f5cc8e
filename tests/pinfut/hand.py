"""Futures polled by hand: what an executor does, one poll at a time."""

from __future__ import annotations

from typing import Generic, TypeVar

from pinfut import PENDING, Context, Future, FutureBase, Poll, Waker
from pinfut.laws import CheckedContext

T = TypeVar("T")


class Tally:
    """A waker that counts."""

    def __init__(self) -> None:
        self.wakes = 0

    def wake(self) -> None:
        self.wakes += 1


class Hand(Generic[T]):
    """Polls one future, as the task that owns it would; `wakes` counts its wakes."""

    def __init__(self, future: Future[T], *, checked: bool = True) -> None:
        self.future = future
        self.waker = Tally()
        self._checked = checked
        self._seen = 0

    @property
    def wakes(self) -> int:
        return self.waker.wakes

    @property
    def woken(self) -> bool:
        """Whether it was woken since the last poll."""
        return self.waker.wakes > self._seen

    def poll(self) -> Poll[T]:
        self._seen = self.waker.wakes
        cx = CheckedContext(self.waker, self) if self._checked else Context(self.waker)
        return cx.poll(self.future)


class Gate(FutureBase[T]):
    """Pending until it is opened with a value or an error. Counts what is done to it."""

    def __init__(self) -> None:
        self.polls = 0
        self.drops = 0
        self.wakes = 0
        self.done = False
        self.waker: Waker | None = None
        self._outcome: Poll[T] | BaseException = PENDING

    @property
    def opened(self) -> bool:
        return self._outcome is not PENDING

    def poll(self, cx: Context, /) -> Poll[T]:
        assert not self.drops, "polled after it was dropped"
        assert not self.done, "polled after it was done"
        self.polls += 1
        outcome = self._outcome
        if outcome is PENDING:
            self.waker = cx.waker
            return PENDING
        self.done = True
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def drop(self) -> None:
        self.drops += 1

    def wake(self) -> None:
        """Wake whoever waits, with or without a reason."""
        if self.waker is not None:
            self.wakes += 1
            self.waker.wake()

    def open(self, outcome: T | BaseException) -> None:
        """Give a value, or an error, and wake whoever waits."""
        self._outcome = outcome
        self.wake()


class Again(FutureBase[int]):
    """PENDING `times` times, waking itself each time; then the number of its polls."""

    def __init__(self, times: int) -> None:
        self.times = times
        self.polls = 0

    def poll(self, cx: Context, /) -> Poll[int]:
        self.polls += 1
        if self.polls <= self.times:
            cx.waker.wake()
            return PENDING
        return self.polls
