"""Futures polled by hand: what an executor does, one poll at a time."""

from __future__ import annotations

from typing import TypeVar

from pinfut import PENDING, Context, FutureBase, Poll, Waker
from pinfut.testing import Hand

__all__ = ["Again", "Gate", "Hand"]

T = TypeVar("T")


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
