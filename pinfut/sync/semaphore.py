"""Semaphore: so many at a time, first come, first served. A `Lock` has its permits from here."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from operator import index
from typing import Any, cast, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll, Waker, wake_each
from pinfut.sync.waiters import DONE, NOTHING, UNKNOWN, Holder, Waiter, WaitQueue


class Permits:
    """So many permits, and who waits for some of them."""

    __slots__ = ("_free", "_queue", "_reserved", "_takers", "permits")

    def __init__(self, permits: int) -> None:
        self.permits = permits
        # Invariant: _free + _reserved + held == permits; nobody waits for as many as are free.
        self._free = permits
        self._reserved = 0
        self._queue = WaitQueue()
        # In checked mode, who took permits, newest last; a guess when some come back out of order.
        self._takers: list[Holder] = []

    def take(self, permits: int) -> bool:
        """Take permits without waiting: False when not so many are free, or others wait."""
        if self._queue or self._free < permits:
            return False
        self._free -= permits
        if laws.recording:
            self.note(Holder(), permits)
        return True

    def ask(self, permits: int) -> FutureBase[None]:
        """A future that is ready when it has taken permits."""
        return _Acquire(self, permits)

    def note(self, taker: Holder, permits: int) -> None:
        """Remember who has so many permits, or will have them."""
        self._takers += [taker] * permits
        del self._takers[: -self.permits]

    def give(self, permits: int) -> None:
        """Give permits back that are held, or were reserved."""
        del self._takers[-permits:]
        self._free += permits
        self.serve()

    def serve(self) -> None:
        """Reserve what is free for those that wait longest."""
        queue = self._queue
        wakers: list[Waker] = []
        while queue and (first := cast(_Acquire, queue.first())).permits <= self._free:
            self._free -= first.permits
            self._reserved += first.permits
            if first.holder is not None:
                self.note(first.holder, first.permits)
            wakers.append(queue.take_first())
        wake_each(wakers)

    def holder(self) -> str | None:
        """Where the permits were taken that are held; None for none. Checked mode only."""
        if self._free == self.permits:
            return None
        return "; ".join(dict.fromkeys(taker.place for taker in self._takers)) or None


@final
class Semaphore(Permits):
    """``async with semaphore: ...`` runs in at most `permits` tasks at a time. Nobody overtakes who
    waits, not even for fewer permits. Raises ValueError below one permit."""

    __slots__ = ()

    def __init__(self, permits: int) -> None:
        permits = index(permits)
        if permits < 1:
            raise ValueError(f"a semaphore needs at least one permit, not {permits}")
        super().__init__(permits)

    @property
    def free(self) -> int:
        """How many permits nobody holds and nobody waits for."""
        return self._free

    def acquire(self, permits: int = 1) -> FutureBase[None]:
        """``await semaphore.acquire()``: waits until so many permits are free, and takes them.
        Raises ValueError for none, and for more than there are."""
        self._check(permits)
        return self.ask(permits)

    def try_acquire(self, permits: int = 1) -> bool:
        """Take permits without waiting: False when not so many are free, or others wait."""
        self._check(permits)
        return self.take(permits)

    def release(self, permits: int = 1) -> None:
        """Give permits back. Raises ValueError when not so many are held."""
        held = self.permits - self._free - self._reserved
        if not 1 <= permits <= held:
            raise ValueError(
                f"{permits} permits cannot be given back: {held} of {self.permits} are held"
            )
        self.give(permits)

    def _check(self, permits: int) -> None:
        if not 1 <= index(permits) <= self.permits:
            raise ValueError(
                f"this semaphore has {self.permits} permits: {permits} cannot be taken at a time"
            )

    def __aenter__(self) -> Awaitable[None]:
        return DONE if self.take(1) else self.ask(1)

    def __aexit__(self, kind: object, error: object, traceback: object) -> Awaitable[None]:
        self.release()
        return DONE

    def __repr__(self) -> str:
        return f"<Semaphore, {self._free} of {self.permits} free, {len(self._queue)} waiting>"


@final
class _Acquire(Waiter[None, Permits]):
    """Waits for permits, and takes them."""

    __slots__ = ("holder", "permits")

    def __init__(self, source: Permits, permits: int) -> None:
        super().__init__(source)
        self.permits = permits
        self.holder = Holder() if laws.recording else None  # who will have them

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless that has to see the poll.
        if not laws.through_executor and self.waker is None and self.source.take(self.permits):
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        source = self.source
        if self.woken:
            self.woken = False
            source._reserved -= self.permits
            return None
        if self.waker is None and not source._queue and source._free >= self.permits:
            source._free -= self.permits
            if self.holder is not None:
                source.note(self.holder, self.permits)
            return None
        return self.wait(source._queue, cx)

    def drop(self) -> None:
        """Wait no more; permits that were reserved are the next one's."""
        source = self.source
        if self.woken:
            self.woken = False
            source._reserved -= self.permits
            source.give(self.permits)
        elif source._queue.leave(self):
            source.serve()

    def waits_for(self) -> str:
        """What this future waits for, and who has it."""
        wanted = f"{self.permits} permits of " if isinstance(self.source, Semaphore) else ""
        return f"{wanted}{self.source!r}, taken at {self.source.holder() or UNKNOWN}"

    def held_by(self) -> list[Holder]:
        """Who has them, as far as it is known."""
        return self.source._takers
