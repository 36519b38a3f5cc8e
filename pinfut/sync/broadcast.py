"""broadcast: every value to every receiver, out of a ring of the last N.

The sender never waits. A receiver is a place in the sequence of values and nothing else, so
one that never reads holds nobody up and costs nothing; it learns exactly how many it has missed.
What a watch has of the same stands here, too."""

from __future__ import annotations

from operator import index
from typing import Any, Generic, Self, TypeVar, final

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
class Ring(Generic[T]):
    """The last values, and who waits for the next."""

    __slots__ = ("closed", "queue", "sent", "values")

    def __init__(self, values: list[Any], sent: int) -> None:
        # Invariant: value number n is at n % len(values), for the last of them.
        self.values: list[T] = values
        self.sent = sent  # how many values there ever were
        self.queue = WaitQueue()
        self.closed = False


class RingSender(Generic[T]):
    """A sending end; any number of tasks may use it."""

    __slots__ = ("_ring",)

    def __init__(self, ring: Ring[T]) -> None:
        self._ring = ring

    def send(self, value: T) -> None:
        """Give `value` to every receiver. Never waits. Raises Closed."""
        ring = self._ring
        if ring.closed:
            raise Closed(f"this {type(self).__name__} is closed; nobody would get the value")
        ring.values[ring.sent % len(ring.values)] = value
        ring.sent += 1
        ring.queue.wake_all()

    def close(self) -> None:
        """No more values: receivers get what they have not got and is left, then Closed."""
        self._ring.closed = True
        self._ring.queue.wake_all()


class RingReceiver(Generic[T]):
    """A receiving end: a place in the sequence of values."""

    __slots__ = ("_next", "_ring")

    def __init__(self, ring: Ring[T], place: int) -> None:
        self._ring = ring
        self._next = place  # the number of the value that comes next

    def clone(self) -> Self:
        """One more receiver, at the place where this one is."""
        return type(self)(self._ring, self._next)

    def try_recv(self) -> Poll[T]:
        """The next value, or PENDING when there is none. Raises Closed when none will come."""
        raise NotImplementedError

    def __aiter__(self) -> Self:
        """``async for value in rx``: raises what a receive does; ends when it is closed."""
        return self

    def __anext__(self) -> FutureBase[T]:
        return EndsAtClosed(self._receive())

    def _receive(self) -> FutureBase[T]:
        return _Recv(self)


@final
class BroadcastSender(RingSender[T]):
    """The sending end of a broadcast; any number of tasks may use it."""

    __slots__ = ()

    def subscribe(self) -> BroadcastReceiver[T]:
        """One more receiver, of the values that are sent from now on."""
        return BroadcastReceiver(self._ring, self._ring.sent)


@final
class BroadcastReceiver(RingReceiver[T]):
    """A receiving end: each value goes to each receiver, and to one future of it."""

    __slots__ = ()

    def recv(self) -> FutureBase[T]:
        """``value = await rx.recv()``: the next value. Raises Lagged, once, when values were
        missed, and Closed when the broadcast is closed and everything was read."""
        return self._receive()

    def try_recv(self) -> Poll[T]:
        """The next value, or PENDING when there is none. Raises as `recv`."""
        ring = self._ring
        oldest = ring.sent - len(ring.values)
        place = self._next
        if place < oldest:
            self._next = oldest
            raise Lagged(oldest - place)
        if place < ring.sent:
            self._next = place + 1
            return ring.values[place % len(ring.values)]
        if ring.closed:
            raise Closed("this broadcast is closed and read to its end")
        return PENDING


@final
class _Recv(Waiter[T, RingReceiver[T]]):
    """Waits for the next value of a receiver."""

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
        return self.wait(self.source._ring.queue, cx)

    def drop(self) -> None:
        """Wait no more. What was not read is still to be read."""
        self.woken = False
        self.source._ring.queue.leave(self)


def broadcast(capacity: int) -> tuple[BroadcastSender[T], BroadcastReceiver[T]]:
    """Every value to every receiver: ``tx, rx = broadcast(16)``; ``more = tx.subscribe()``. The
    last `capacity` values are kept for slow receivers. Raises ValueError below 1."""
    capacity = index(capacity)
    if capacity < 1:
        raise ValueError(f"a broadcast keeps at least one value, not {capacity}")
    ring: Ring[T] = Ring([None] * capacity, 0)
    return BroadcastSender(ring), BroadcastReceiver(ring, 0)
