"""Lock: one at a time, first come, first served."""

from __future__ import annotations

from collections.abc import Awaitable, Generator
from typing import Any, cast, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import DONE, NOTHING, UNKNOWN, Holder, Waiter, WaitQueue


@final
class Lock:
    """``async with lock: ...`` runs in one task at a time.

    It is handed over in the order in which it was asked for: nobody overtakes who waits. A
    holder that asks for it again waits for itself; checked mode says so.
    """

    __slots__ = ("_locked", "_lost", "_queue", "_taken")

    def __init__(self) -> None:
        # Invariant: True while it is held, or reserved for a waiter that was woken; nobody
        # waits while it is False.
        self._locked = False
        self._queue = WaitQueue()
        # How many of its blocks are being closed without holding it; see `Condition.wait`.
        self._lost = 0
        # Who had it last, or will have it; kept in checked mode only.
        self._taken: Holder | None = None

    @property
    def locked(self) -> bool:
        """Whether somebody has it, or is about to."""
        return self._locked

    def acquire(self) -> FutureBase[None]:
        """``await lock.acquire()``: waits until the lock is free, and takes it."""
        return _Acquire(self)

    def try_acquire(self) -> bool:
        """Take the lock if it is free; False when it is not."""
        if self._locked:
            return False
        self._locked = True
        if laws.recording:
            self._taken = Holder()
        return True

    def release(self) -> None:
        """Give the lock back: the next that waits has it. Raises RuntimeError when nobody
        holds it."""
        if not self._locked:
            raise RuntimeError(
                "this lock is not held; release it once for each acquire, or use 'async with lock:'"
            )
        self._pass_on()

    def _pass_on(self) -> None:
        if self._queue:
            if laws.recording:
                self._taken = cast(_Acquire, self._queue.first()).holder
            self._queue.take_first().wake()
        else:
            self._locked = False
            self._taken = None

    def holder(self) -> str | None:
        """Where the lock was taken; None when it is free. Known in checked mode only."""
        return self._taken.place if self._locked and self._taken is not None else None

    def __aenter__(self) -> Awaitable[None]:
        # As `try_acquire`, without a call: most locks are free.
        if self._locked:
            return _Acquire(self)
        self._locked = True
        if laws.recording:
            self._taken = Holder()
        return DONE

    def __aexit__(self, kind: object, error: object, traceback: object) -> Awaitable[None]:
        if self._lost and kind is GeneratorExit:
            self._lost -= 1
        elif self._queue:
            self._pass_on()
        else:
            self._locked = False
        return DONE

    def __repr__(self) -> str:
        state = f"held, {len(self._queue)} waiting" if self._locked else "free"
        return f"<Lock, {state}>"


@final
class _Acquire(Waiter[None, Lock]):
    __slots__ = ("holder",)

    def __init__(self, lock: Lock) -> None:
        super().__init__(lock)
        # Who will have it.
        self.holder = Holder() if laws.recording else None

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless that has to see the poll.
        if not laws.through_executor and self.waker is None and self.source.try_acquire():
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        lock = self.source
        if self.woken:
            self.woken = False
            return None
        if self.waker is None and not lock._locked:
            lock._locked = True
            lock._taken = self.holder
            return None
        return self.wait(lock._queue, cx)

    def drop(self) -> None:
        """Wait no more; a lock that was reserved is the next one's."""
        if self.woken:
            self.woken = False
            self.source.release()
        else:
            self.source._queue.leave(self)

    def waits_for(self) -> str:
        """What this future waits for, and who has it."""
        return f"{self.source!r}, taken at {self.source.holder() or UNKNOWN}"

    def held_by(self) -> list[Holder]:
        """Who has it, as far as it is known."""
        taken = self.source._taken
        return [] if taken is None else [taken]
