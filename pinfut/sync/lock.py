"""Lock: one at a time, first come, first served."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import final

from pinfut import laws
from pinfut.core import accelerate
from pinfut.future import FutureBase
from pinfut.sync.semaphore import Permits
from pinfut.sync.waiters import DONE, Holder


@final
class Lock(Permits):
    """``async with lock: ...`` runs in one task at a time, in the order in which they asked: nobody
    overtakes who waits. A holder that asks again waits for itself; checked mode says so."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        super().__init__(1)
        # How many of its blocks are being closed without holding it; see `Condition.wait`.
        self._lost = 0

    @property
    def locked(self) -> bool:
        """Whether somebody has it, or is about to."""
        return not self._free

    def acquire(self) -> FutureBase[None]:
        """``await lock.acquire()``: waits until the lock is free, and takes it."""
        return self.ask(1)

    def try_acquire(self) -> bool:
        """Take the lock if it is free; False when it is not."""
        return self.take(1)

    def release(self) -> None:
        """Give the lock back, to the next. Raises RuntimeError when nobody holds it."""
        if self._free or self._reserved:
            raise RuntimeError(
                "this lock is not held; release it once for each acquire, or use 'async with lock:'"
            )
        self.give(1)

    def __aenter__(self) -> Awaitable[None]:
        # As `try_acquire`, without a call: most locks are free.
        if not self._free:
            return self.ask(1)
        self._free = False  # as 0, and faster to test
        if laws.recording:
            self.note(Holder(), 1)
        return DONE

    def __aexit__(self, kind: object, error: object, traceback: object, /) -> Awaitable[None]:
        if self._lost and kind is GeneratorExit:
            self._lost -= 1
        elif self._queue:
            self.give(1)
        else:
            self._free = True
        return DONE

    def __repr__(self) -> str:
        state = "free" if self._free else f"held, {len(self._queue)} waiting"
        return f"<Lock, {state}>"


accelerate(globals())
