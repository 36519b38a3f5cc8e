"""Semaphore: so many at a time, first come, first served."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from operator import index
from typing import Any, cast, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll, Waker, wake_each
from pinfut.sync.waiters import DONE, NOTHING, UNKNOWN, Holder, Waiter, WaitQueue


@final
class Semaphore:
    """``async with semaphore: ...`` runs in at most `permits` tasks at a time.

    Nobody overtakes who waits, not even for fewer permits. Raises ValueError below one permit.
    """

    __slots__ = ("_free", "_queue", "_reserved", "_takers", "permits")

    def __init__(self, permits: int) -> None:
        permits = index(permits)
        if permits < 1:
            raise ValueError(f"a semaphore needs at least one permit, not {permits}")
        self.permits = permits
        # Invariant: _free + _reserved + those held == permits, and nobody waits for as many as
        # are free.
        self._free = permits
        self._reserved = 0
        self._queue = WaitQueue()
        # Who took permits, one for each, newest last; kept in checked mode only, and a guess
        # once some were given back out of order.
        self._takers: list[Holder] = []

    @property
    def free(self) -> int:
        """How many permits nobody holds and nobody waits for."""
        return self._free

    def acquire(self, permits: int = 1) -> FutureBase[None]:
        """``await semaphore.acquire()``: waits until so many permits are free, and takes them.

        Raises ValueError for none, and for more than there are.
        """
        self._check(permits)
        return _Acquire(self, permits)

    def try_acquire(self, permits: int = 1) -> bool:
        """Take permits without waiting: False when not so many are free, or others wait."""
        self._check(permits)
        if self._queue or self._free < permits:
            return False
        self._free -= permits
        if laws.recording:
            self._takers += [Holder()] * permits
        return True

    def release(self, permits: int = 1) -> None:
        """Give permits back. Raises ValueError when not so many are held."""
        held = self.permits - self._free - self._reserved
        if not 1 <= permits <= held:
            raise ValueError(
                f"{permits} permits cannot be given back: {held} of {self.permits} are held"
            )
        del self._takers[-permits:]
        self._free += permits
        self.serve()

    def serve(self) -> None:
        """Reserve what is free for those that wait longest. For its futures."""
        queue = self._queue
        wakers: list[Waker] = []
        while queue and (first := cast(_Acquire, queue.first())).permits <= self._free:
            self._free -= first.permits
            self._reserved += first.permits
            first.note()
            wakers.append(queue.take_first())
        wake_each(wakers)

    def _check(self, permits: int) -> None:
        if not 1 <= index(permits) <= self.permits:
            raise ValueError(
                f"this semaphore has {self.permits} permits: {permits} cannot be taken at a time"
            )

    def holder(self) -> str | None:
        """Where the permits were taken that are held; None for none. Checked mode only."""
        return "; ".join(dict.fromkeys(taker.place for taker in self._takers)) or None

    def __aenter__(self) -> Awaitable[None]:
        return DONE if self.try_acquire() else self.acquire()

    def __aexit__(self, kind: object, error: object, traceback: object) -> Awaitable[None]:
        self.release()
        return DONE

    def __repr__(self) -> str:
        return f"<Semaphore, {self._free} of {self.permits} free, {len(self._queue)} waiting>"


@final
class _Acquire(Waiter[None, Semaphore]):
    __slots__ = ("_holder", "permits")

    def __init__(self, semaphore: Semaphore, permits: int) -> None:
        super().__init__(semaphore)
        self.permits = permits
        self._holder = Holder() if laws.recording else None

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless that has to see the poll.
        if (
            not laws.through_executor
            and self.waker is None
            and self.source.try_acquire(self.permits)
        ):
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        semaphore = self.source
        if self.woken:
            self.woken = False
            semaphore._reserved -= self.permits
            return None
        if self.waker is None and not semaphore._queue and semaphore._free >= self.permits:
            semaphore._free -= self.permits
            self.note()
            return None
        return self.wait(semaphore._queue, cx)

    def note(self) -> None:
        """Be remembered as who has the permits, or will have them."""
        if self._holder is not None:
            self.source._takers += [self._holder] * self.permits

    def drop(self) -> None:
        """Wait no more; permits that were reserved are the next one's."""
        semaphore = self.source
        if self.woken:
            self.woken = False
            semaphore._reserved -= self.permits
            semaphore._free += self.permits
            del semaphore._takers[-self.permits :]
            semaphore.serve()
        elif semaphore._queue.leave(self):
            semaphore.serve()

    def waits_for(self) -> str:
        """What this future waits for, and who has it."""
        taken = self.source.holder() or UNKNOWN
        return f"{self.permits} permits of {self.source!r}, taken at {taken}"

    def held_by(self) -> list[Holder]:
        """Who has them, as far as it is known."""
        return self.source._takers
