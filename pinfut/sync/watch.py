"""watch: the latest value, for any number of receivers.

What came in between is not kept: a receiver that is slow sees the newest value and misses
nothing that still holds. It is a broadcast of one place, whose receivers miss values in silence."""

from __future__ import annotations

from typing import TypeVar, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Poll
from pinfut.sync.broadcast import Ring, RingReceiver, RingSender
from pinfut.sync.closed import Closed

T = TypeVar("T")


@final
class WatchSender(RingSender[T]):
    """The sending end of a watch; any number of tasks may use it."""

    __slots__ = ()

    @property
    def value(self) -> T:
        """The newest value."""
        return self._ring.values[0]

    def subscribe(self) -> WatchReceiver[T]:
        """One more receiver; the present value counts as seen."""
        return WatchReceiver(self._ring, self._ring.sent)


@final
class WatchReceiver(RingReceiver[T]):
    """A receiving end of a watch: its own view of what it has seen."""

    __slots__ = ()

    @property
    def value(self) -> T:
        """The newest value; looking at it does not count as having seen it."""
        return self._ring.values[0]

    def changed(self) -> FutureBase[T]:
        """``value = await rx.changed()``: the newest value, once there is one that this
        receiver has not seen. Raises Closed when none will come."""
        return self._receive()

    def try_recv(self) -> Poll[T]:
        """The newest value, PENDING if it was seen before. Raises as `changed`."""
        ring = self._ring
        if self._next != ring.sent:
            self._next = ring.sent
            return ring.values[0]
        if ring.closed:
            raise Closed("this watch is closed; no other value will come")
        return PENDING


def watch(value: T) -> tuple[WatchSender[T], WatchReceiver[T]]:
    """``tx, rx = watch(0)``; ``tx.send(1)``; ``await rx.changed()``. 0 counts as seen."""
    ring: Ring[T] = Ring([value], 1)
    return WatchSender(ring), WatchReceiver(ring, 1)
