"""Semaphore: so many at a time, first come, first served."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from types import TracebackType
from typing import Any, cast, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import DONE, NOTHING, Line, Waiter, caller


@final
class Semaphore:
    """``async with semaphore: ...`` runs in at most `permits` tasks at a time.

    Nobody overtakes who waits, not even for fewer permits. Raises ValueError below one permit.
    """

    __slots__ = ("_free", "_line", "_reserved", "_takers", "permits")

    def __init__(self, permits: int) -> None:
        if permits < 1:
            raise ValueError(f"a semaphore needs at least one permit, not {permits}")
        self.permits = permits
        # Invariant: _free + _reserved + those held == permits, and nobody waits for as many as
        # are free.
        self._free = permits
        self._reserved = 0
        self._line = Line()
        # Where permits were taken, newest last; kept in checked mode only, and a guess once
        # some were given back out of order.
        self._takers: list[str] = []

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
        if self._line or self._free < permits:
            return False
        self._free -= permits
        if laws.recording:
            self._takers.append(caller())
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
        line = self._line
        while line and (first := cast(_Acquire, line.first())).permits <= self._free:
            self._free -= first.permits
            self._reserved += first.permits
            line.rouse()

    def _check(self, permits: int) -> None:
        if not 1 <= permits <= self.permits:
            raise ValueError(
                f"this semaphore has {self.permits} permits: {permits} cannot be taken at a time"
            )

    def holder(self) -> str | None:
        """Where the permits were taken that are held; None for none. Checked mode only."""
        return "; ".join(self._takers) or None

    def __aenter__(self) -> Awaitable[None]:
        return DONE if self.try_acquire() else self.acquire()

    def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> Awaitable[None]:
        self.release()
        return DONE

    def __repr__(self) -> str:
        return f"<Semaphore, {self._free} of {self.permits} free, {len(self._line)} waiting>"


@final
class _Acquire(Waiter[None]):
    __slots__ = ("_semaphore", "permits")

    def __init__(self, semaphore: Semaphore, permits: int) -> None:
        super().__init__()
        self._semaphore = semaphore
        self.permits = permits

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless checked mode wants to see the poll.
        if not laws.recording and self.waker is None and self._semaphore.try_acquire(self.permits):
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        semaphore = self._semaphore
        if self.roused:
            self.roused = False
            semaphore._reserved -= self.permits
            if laws.recording:
                semaphore._takers.append(caller())
            return None
        if self.waker is None and semaphore.try_acquire(self.permits):
            return None
        return self.wait(semaphore._line, cx)

    def drop(self) -> None:
        """Wait no more; permits that were reserved are the next one's."""
        semaphore = self._semaphore
        if self.roused:
            self.roused = False
            semaphore._reserved -= self.permits
            semaphore._free += self.permits
            semaphore.serve()
        elif semaphore._line.leave(self):
            semaphore.serve()

    def waits_for(self) -> str:
        """What this future waits for, and who has it."""
        holder = self._semaphore.holder() or "somebody (checked mode would say who)"
        return f"{self.permits} permits of {self._semaphore!r}, held by {holder}"
