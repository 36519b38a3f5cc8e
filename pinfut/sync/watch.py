"""watch: the latest value, for any number of receivers.

What came in between is not kept: a receiver that is slow sees the newest value and misses
nothing that still holds. Each compares a version when it begins to wait, so that no change
falls between a look and a wait.
"""

from __future__ import annotations

from typing import Generic, TypeVar, final

from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.closed import Closed, EndsAtClosed
from pinfut.sync.waiters import Waiter, WaitQueue

T = TypeVar("T")


@final
class _Shared(Generic[T]):
    __slots__ = ("closed", "queue", "value", "version")

    def __init__(self, value: T) -> None:
        self.value = value
        # Counts the values. Receivers wait only while they have seen this one.
        self.version = 0
        self.queue = WaitQueue()
        self.closed = False


@final
class WatchSender(Generic[T]):
    """The sending end of a watch; any number of tasks may use it."""

    __slots__ = ("_shared",)

    def __init__(self, shared: _Shared[T]) -> None:
        self._shared = shared

    @property
    def value(self) -> T:
        """The newest value."""
        return self._shared.value

    def send(self, value: T) -> None:
        """Replace the value and tell every receiver. Never waits. Raises Closed."""
        shared = self._shared
        if shared.closed:
            raise Closed("this watch is closed; nobody would see the value")
        shared.value = value
        shared.version += 1
        shared.queue.wake_all()

    def subscribe(self) -> WatchReceiver[T]:
        """One more receiver; the present value counts as seen."""
        return WatchReceiver(self._shared, self._shared.version)

    def close(self) -> None:
        """No more values. Receivers see the newest, if they have not, and then Closed."""
        self._shared.closed = True
        self._shared.queue.wake_all()


@final
class WatchReceiver(Generic[T]):
    """A receiving end of a watch: its own view of what it has seen."""

    __slots__ = ("_seen", "_shared")

    def __init__(self, shared: _Shared[T], seen: int) -> None:
        self._shared = shared
        self._seen = seen

    @property
    def value(self) -> T:
        """The newest value; looking at it does not count as having seen it."""
        return self._shared.value

    @property
    def has_changed(self) -> bool:
        """Whether `changed` would give a value at once."""
        return self._seen != self._shared.version

    def changed(self) -> FutureBase[T]:
        """``value = await rx.changed()``: the newest value, once there is one that this
        receiver has not seen. Raises Closed when none will come."""
        return _Changed(self)

    def clone(self) -> WatchReceiver[T]:
        """One more receiver that has seen what this one has."""
        return WatchReceiver(self._shared, self._seen)

    def __aiter__(self) -> WatchReceiver[T]:
        """``async for value in rx``: each change that is seen; ends when the watch is closed."""
        return self

    def __anext__(self) -> FutureBase[T]:
        return EndsAtClosed(self.changed())


@final
class _Changed(Waiter[T, WatchReceiver[T]]):
    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[T]:
        receiver = self.source
        shared = receiver._shared
        if receiver._seen != shared.version:
            receiver._seen = shared.version
            return shared.value
        if shared.closed:
            raise Closed("this watch is closed; no other value will come")
        if self.woken:
            # Another future of the same receiver has seen the change: wait for the next.
            self.woken = False
            self.waker = None
        return self.wait(shared.queue, cx)

    def drop(self) -> None:
        """Wait no more. What was not seen is still to be seen."""
        self.woken = False
        self.source._shared.queue.leave(self)


def watch(value: T) -> tuple[WatchSender[T], WatchReceiver[T]]:
    """A value that changes: ``tx, rx = watch(0)``; ``tx.send(1)``; ``await rx.changed()``.

    The value given counts as seen.
    """
    shared = _Shared(value)
    return WatchSender(shared), WatchReceiver(shared, 0)
