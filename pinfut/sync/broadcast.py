"""broadcast: every value to every receiver, out of a ring of the last N.

The sender never waits. A receiver is a place in the sequence of values and nothing else, so
one that never reads holds nobody up and costs nothing; it learns exactly how many it has missed.
"""

from __future__ import annotations

from operator import index
from typing import Generic, TypeVar, cast, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Poll
from pinfut.sync.closed import Closed, EndsAtClosed
from pinfut.sync.waiters import Waiter, WaitQueue

T = TypeVar("T")


class Lagged(Exception):
    """A receiver was too slow: `missed` values were overwritten before it read them. It goes
    on with the oldest that is still there."""

    def __init__(self, missed: int) -> None:
        super().__init__(
            f"this receiver missed {missed} values; read faster, or make the broadcast larger"
        )
        self.missed = missed


@final
class _Shared(Generic[T]):
    __slots__ = ("closed", "queue", "ring", "sent")

    def __init__(self, capacity: int) -> None:
        # Invariant: value number n is at n % capacity, for the last `capacity` of them.
        self.ring: list[T | None] = [None] * capacity
        # How many values were ever sent.
        self.sent = 0
        self.queue = WaitQueue()
        self.closed = False


@final
class BroadcastSender(Generic[T]):
    """The sending end of a broadcast; any number of tasks may use it."""

    __slots__ = ("_shared",)

    def __init__(self, shared: _Shared[T]) -> None:
        self._shared = shared

    def send(self, value: T) -> None:
        """Give `value` to every receiver. Never waits. Raises Closed."""
        shared = self._shared
        if shared.closed:
            raise Closed("this broadcast is closed; nobody would get the value")
        shared.ring[shared.sent % len(shared.ring)] = value
        shared.sent += 1
        shared.queue.wake_all()

    def subscribe(self) -> BroadcastReceiver[T]:
        """One more receiver, of the values that are sent from now on."""
        return BroadcastReceiver(self._shared, self._shared.sent)

    def close(self) -> None:
        """No more values: receivers get what is left, then Closed."""
        self._shared.closed = True
        self._shared.queue.wake_all()


@final
class BroadcastReceiver(Generic[T]):
    """A receiving end of a broadcast. Each value goes to one of the futures of a receiver, and
    to each receiver."""

    __slots__ = ("_next", "_shared")

    def __init__(self, shared: _Shared[T], place: int) -> None:
        self._shared = shared
        # The number of the value that comes next.
        self._next = place

    def recv(self) -> FutureBase[T]:
        """``value = await rx.recv()``: the next value. Raises Lagged, once, when values were
        missed, and Closed when the broadcast is closed and everything was read."""
        return _Recv(self)

    def try_recv(self) -> Poll[T]:
        """The next value, or PENDING when there is none. Raises as `recv`."""
        shared = self._shared
        oldest = shared.sent - len(shared.ring)
        place = self._next
        if place < oldest:
            self._next = oldest
            raise Lagged(oldest - place)
        if place < shared.sent:
            self._next = place + 1
            return cast(T, shared.ring[place % len(shared.ring)])
        if shared.closed:
            raise Closed("this broadcast is closed and read to its end")
        return PENDING

    def clone(self) -> BroadcastReceiver[T]:
        """One more receiver, at the place where this one is."""
        return BroadcastReceiver(self._shared, self._next)

    def __aiter__(self) -> BroadcastReceiver[T]:
        """``async for value in rx``: raises Lagged as `recv`; ends when it is closed."""
        return self

    def __anext__(self) -> FutureBase[T]:
        return EndsAtClosed(self.recv())


@final
class _Recv(Waiter[T, BroadcastReceiver[T]]):
    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[T]:
        # Whatever there is to read, or to say, has woken everybody: it stands in no queue then.
        value = self.source.try_recv()
        if value is not PENDING:
            return value
        if self.woken:
            # Another future of the same receiver was faster: stand in the queue anew.
            self.woken = False
            self.waker = None
        return self.wait(self.source._shared.queue, cx)

    def drop(self) -> None:
        """Wait no more. What was not read is still to be read."""
        self.woken = False
        self.source._shared.queue.leave(self)


def broadcast(capacity: int) -> tuple[BroadcastSender[T], BroadcastReceiver[T]]:
    """Every value to every receiver: ``tx, rx = broadcast(16)``; ``more = tx.subscribe()``.

    The last `capacity` values are kept for slow receivers. Raises ValueError below 1.
    """
    capacity = index(capacity)
    if capacity < 1:
        raise ValueError(f"a broadcast keeps at least one value, not {capacity}")
    shared: _Shared[T] = _Shared(capacity)
    return BroadcastSender(shared), BroadcastReceiver(shared, 0)
