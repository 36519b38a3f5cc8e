"""Notify: wake one or all, with a single notification that keeps (the semantics of tokio's)."""

from __future__ import annotations

from typing import final

from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import Waiter, WaitQueue


@final
class Notify:
    """``await notify.notified()`` waits for the next notification. `notify_one` wakes who has
    waited longest; when nobody waits it is kept, once. `notify_all` wakes those that wait now. So a
    condition is awaited like this: look; if it does not hold, await `notified()`; look again."""

    __slots__ = ("_kept", "_queue")

    def __init__(self) -> None:
        self._kept = False  # Invariant: nobody waits while a notification is kept
        self._queue = WaitQueue()

    def notify_one(self) -> None:
        """Wake who has waited longest, or keep the notification; one at most is kept."""
        if self._queue:
            waiter = self._queue.first()
            assert isinstance(waiter, _Notified)
            waiter.passes_on = True
            self._queue.take_first().wake()
        else:
            self._kept = True

    def notify_all(self) -> None:
        """Wake everybody that waits now."""
        self._queue.wake_all()

    def notified(self) -> FutureBase[None]:
        """A future of the next notification. It begins to wait when it is first polled."""
        return _Notified(self)

    def __repr__(self) -> str:
        return f"<Notify, {'one kept' if self._kept else f'{len(self._queue)} waiting'}>"


@final
class _Notified(Waiter[None, Notify]):
    # Whether it was woken by a notification for one, which must reach somebody.
    __slots__ = ("passes_on",)

    def __init__(self, notify: Notify) -> None:
        super().__init__(notify)
        self.passes_on = False

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.woken:
            self.woken = False
            return None
        notify = self.source
        if self.waker is None and notify._kept:
            notify._kept = False
            return None
        return self.wait(notify._queue, cx)

    def drop(self) -> None:
        """Wait no more; a notification for one goes to the next, or is kept."""
        if not self.woken:
            self.source._queue.leave(self)
        elif self.passes_on:
            self.source.notify_one()
        self.woken = False
