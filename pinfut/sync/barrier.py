"""Barrier: everybody waits until all are there."""

from __future__ import annotations

from operator import index
from typing import final

from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import Waiter, WaitQueue


@final
class Barrier:
    """``if await barrier.wait(): ...``: so many parties pass together, again and again; the last to
    come gets True. A party that is cancelled while it waits has not come; after the last has come,
    it has passed. Raises ValueError below one party."""

    __slots__ = ("_queue", "parties")

    def __init__(self, parties: int) -> None:
        parties = index(parties)
        if parties < 1:
            raise ValueError(f"a barrier is for one party or more, not {parties}")
        self.parties = parties
        self._queue = WaitQueue()  # Invariant: fewer than `parties`

    @property
    def waiting(self) -> int:
        """How many have come and wait for the others."""
        return len(self._queue)

    def wait(self) -> FutureBase[bool]:
        """A future that is ready when all are there: True for the last to come."""
        return _Wait(self)


@final
class _Wait(Waiter[bool, Barrier]):
    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[bool]:
        if self.woken:
            self.woken = False
            return False
        queue = self.source._queue
        if self.waker is None and len(queue) == self.source.parties - 1:
            queue.wake_all()
            return True
        return self.wait(queue, cx)

    def drop(self) -> None:
        """Wait no more. Who has passed has passed."""
        if not self.woken:
            self.source._queue.leave(self)
        self.woken = False

    def waits_for(self) -> str:
        """What this future waits for."""
        barrier = self.source
        return f"{barrier.parties - barrier.waiting} more parties of a barrier of {barrier.parties}"
