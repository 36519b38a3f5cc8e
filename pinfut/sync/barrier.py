"""Barrier: everybody waits until all are there."""

from __future__ import annotations

from operator import index
from typing import final

from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import Line, Waiter


@final
class Barrier:
    """``if await barrier.wait(): ...``: so many parties pass together, again and again.

    Exactly one of them, the last to come, gets True. A party that is cancelled while it waits
    has not come: the others wait for another. One that is cancelled after the last has come
    has passed. Raises ValueError below one party.
    """

    __slots__ = ("_line", "parties")

    def __init__(self, parties: int) -> None:
        parties = index(parties)
        if parties < 1:
            raise ValueError(f"a barrier is for one party or more, not {parties}")
        self.parties = parties
        # Invariant: fewer than `parties`.
        self._line = Line()

    @property
    def waiting(self) -> int:
        """How many have come and wait for the others."""
        return len(self._line)

    def wait(self) -> FutureBase[bool]:
        """A future that is ready when all are there: True for the last to come."""
        return _Wait(self)


@final
class _Wait(Waiter[bool]):
    __slots__ = ("_barrier",)

    def __init__(self, barrier: Barrier) -> None:
        super().__init__()
        self._barrier = barrier

    def poll(self, cx: Context, /) -> Poll[bool]:
        if self.roused:
            self.roused = False
            return False
        line = self._barrier._line
        if self.waker is None and len(line) == self._barrier.parties - 1:
            line.rouse_all()
            return True
        return self.wait(line, cx)

    def drop(self) -> None:
        """Wait no more. Who has passed has passed."""
        if not self.roused:
            self._barrier._line.leave(self)
        self.roused = False

    def waits_for(self) -> str:
        """What this future waits for."""
        barrier = self._barrier
        return f"{barrier.parties - barrier.waiting} more parties of a barrier of {barrier.parties}"
