"""Condition: wait, with a lock given up meanwhile, until somebody says that things changed."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable
from typing import TypeVar, final

from pinfut.poll import Context, Poll
from pinfut.sync.lock import Lock
from pinfut.sync.waiters import NO_WAKER, Waiter, WaitQueue

T = TypeVar("T")


@final
class Condition:
    """``async with condition: await condition.wait_for(lambda: queue)``. Who waits gives the lock
    up and has it again when the wait ends, in whatever way, a cancel too."""

    __slots__ = ("_queue", "lock")

    def __init__(self, lock: Lock | None = None) -> None:
        if not (lock is None or isinstance(lock, Lock)):
            raise TypeError(f"a condition shares a pinfut.Lock, or has its own, not {lock!r}")
        self.lock = Lock() if lock is None else lock
        self._queue = WaitQueue()

    async def wait(self) -> None:
        """Give the lock up, wait for a notification, and take the lock again; then look at what was
        waited for once more. Raises RuntimeError when the lock is not held."""
        waiter = _Notified(self._queue)
        self._queue.add(waiter)
        try:
            self.lock.release()
        except BaseException:
            self._queue.leave(waiter)
            raise
        cancelled: CancelledError | None = None
        try:
            await waiter
        except CancelledError as error:
            cancelled = error
        except GeneratorExit:
            # Closed for good: it cannot wait for the lock, and its blocks must not give it back.
            self.lock._lost += 1
            raise
        while True:
            try:
                await self.lock.acquire()
                break
            except CancelledError as error:
                cancelled = error
            except GeneratorExit:
                self.lock._lost += 1
                raise
        if cancelled is not None:
            try:
                raise cancelled
            finally:
                cancelled = None  # or its traceback would keep this frame, and the frame it

    async def wait_for(self, predicate: Callable[[], T]) -> T:
        """Wait until `predicate()` is true; what it gave."""
        while not (value := predicate()):
            await self.wait()
        return value

    def notify(self, count: int = 1) -> None:
        """Wake up to `count` of those that wait, the first come first. They run when they have
        the lock. Raises RuntimeError when nobody holds the lock."""
        if not self.lock.locked:
            raise RuntimeError("hold the lock to notify: 'async with condition:'")
        self._queue.wake(min(count, len(self._queue)))

    def notify_all(self) -> None:
        """Wake all that wait. Raises as `notify` does."""
        self.notify(len(self._queue))

    def __aenter__(self) -> Awaitable[None]:
        return self.lock.__aenter__()

    def __aexit__(self, kind: object, error: object, traceback: object) -> Awaitable[None]:
        return self.lock.__aexit__(kind, error, traceback)


@final
class _Notified(Waiter[None, WaitQueue]):
    """Stands in the queue from the time when it is made, so that no notification is missed."""

    __slots__ = ()

    def __init__(self, queue: WaitQueue) -> None:
        super().__init__(queue)
        self.waker = NO_WAKER

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.woken:
            self.woken = False
            return None
        return self.wait(self.source, cx)

    def drop(self) -> None:
        """Wait no more; a notification that was this one's is the next one's."""
        if self.woken:
            self.woken = False
            if self.source:
                self.source.take_first().wake()
        else:
            self.source.leave(self)
