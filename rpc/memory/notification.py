"""Notification words: which sessions are ready, found without asking the others.

A signal ORs a badge in; taking reads and clears (seL4's notification objects). However
often a badge is signalled before it is taken, it is seen once and never lost."""

from __future__ import annotations

from typing import Final, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker

_BITS: Final = 64


class Notification:
    """A set of badges (small integers) as words of 64 bits with a summary word above. `signal` is
    O(1); `take` costs what is ready, whatever the number of badges in use. `name`: what a history
    calls it."""

    __slots__ = ("_summary", "_waker", "_words", "name")

    def __init__(self, name: str = "a notification") -> None:
        self.name = name
        self._words: list[int] = []
        # Invariant: bit i is set exactly while _words[i] is not 0.
        self._summary = 0
        self._waker: Waker | None = None

    def signal(self, badge: int) -> None:
        """OR `badge` in. Idempotent until it is taken. Wakes nobody: that is `wake`."""
        index = badge // _BITS
        words = self._words
        if index >= len(words):
            words += [0] * (index + 1 - len(words))
        words[index] |= 1 << badge % _BITS
        self._summary |= 1 << index

    @property
    def ready(self) -> bool:
        """Whether `take` would give anything."""
        return self._summary != 0

    def wake(self) -> None:
        """Wake the one who waits."""
        waker = self._waker
        if waker is not None and self._summary:
            self._waker = None
            waker.wake()

    def take(self) -> list[int]:
        """The badges that are set, lowest first; they are cleared before anybody acts on
        them, so that a signal during the work is not lost (trap: clear after draining)."""
        badges = []
        words = self._words
        summary = self._summary
        self._summary = 0
        while summary:
            index = (summary & -summary).bit_length() - 1
            summary &= summary - 1
            word = words[index]
            words[index] = 0
            while word:
                badges.append(index * _BITS + (word & -word).bit_length() - 1)
                word &= word - 1
        return badges

    def wait(self) -> FutureBase[list[int]]:
        """A future of the next badges: ``for badge in await notification.wait():``"""
        return _Wait(self)

    def park(self, waker: Waker) -> bool:
        """Keep `waker` unless something is set already. False when something is."""
        if self._summary:
            return False
        self._waker = waker
        return True

    def unpark(self) -> None:
        """Forget the waker."""
        self._waker = None


@final
class _Wait(FutureBase[list[int]]):
    __slots__ = ("_notification",)

    def __init__(self, notification: Notification) -> None:
        self._notification = notification

    def poll(self, cx: Context, /) -> Poll[list[int]]:
        if self._notification.park(cx.waker):
            return PENDING
        return self._notification.take()

    def drop(self) -> None:
        self._notification.unpark()
