"""channel: a bounded queue between tasks, first in, first out.

A cancelled waiter never loses a value, nor does it change the order of the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from operator import index
from typing import Any, Final, Generic, Self, TypeVar, final

from pinfut import future, laws
from pinfut.core import accelerate
from pinfut.forgotten import watch_at_first
from pinfut.future import REFUSALS, FutureBase
from pinfut.poll import PENDING, Context, Poll, Waker, wake_each
from pinfut.sync.closed import Closed, EndsAtClosed
from pinfut.sync.waiters import NO_WAKER, NOTHING

T = TypeVar("T")


class _Shared(Generic[T]):
    """What the two ends of a channel share. A value lies in the buffer, reserved, until the
    receiver that was woken for it takes it: so the order is the buffer's, and a cancel gives back
    the reservation."""

    __slots__ = ("buffer", "capacity", "closed", "gaps", "receivers", "reserved", "senders")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity  # Invariant: 0 once closed
        # Those reserved take no room. Invariant: len(buffer) - reserved <= capacity, but for
        # values whose receivers were cancelled; and no sender waits while it is less.
        self.buffer: deque[T] = deque()
        # How many values are reserved: the receivers that were woken and have not come yet.
        # Invariant: reserved <= len(buffer), and no receiver waits while it is less.
        self.reserved = 0
        # Invariant: each entry has a waker, or has left and is a gap; the first is no gap.
        self.receivers: deque[_Recv[T]] = deque()
        self.senders: deque[_Send[T]] = deque()
        self.gaps = 0
        self.closed = False

    def offer(self, value: T, /) -> bool:
        """Put `value` into the buffer, if there is room."""
        if self.receivers:
            if not self.capacity:
                return False  # closed, and they wait for what may come back
            self.buffer.append(value)
            self.reserved += 1
            receiver = self.receivers.popleft()
            if self.gaps:
                self.close_up(self.receivers)
            receiver.woken = True
            receiver.waker.wake()  # type: ignore[union-attr]  # it is parked
            return True
        if len(self.buffer) - self.reserved >= self.capacity:
            return False
        self.buffer.append(value)
        return True

    def unreserve(self) -> None:
        """A woken receiver does not come: what was reserved for it is the next one's."""
        self.reserved -= 1
        if self.receivers:
            self.reserved += 1
            receiver = self.receivers.popleft()
            if self.gaps:
                self.close_up(self.receivers)
            receiver.woken = True
            receiver.waker.wake()  # type: ignore[union-attr]  # it is parked

    def close(self) -> None:
        """No more values come in; what is in may be taken."""
        if self.closed:
            return
        self.closed = True
        self.capacity = 0
        try:
            self._wake_all(self.senders)
        finally:
            if not self.buffer:
                self.end()

    def taken(self) -> None:
        """A value was taken: a sender has its place, or the last of a closed one is the end."""
        if self.senders:
            if len(self.buffer) - self.reserved < self.capacity:
                sender = self.senders.popleft()
                if self.gaps:
                    self.close_up(self.senders)
                waker, sender.waker = sender.waker, _SENT
                try:
                    waker.wake()  # type: ignore[union-attr]  # it is parked
                finally:
                    self.offer(sender.value)
        elif self.closed and not self.buffer:
            self.end()

    def end(self) -> None:
        """Nothing will come: wake every receiver that waits."""
        self._wake_all(self.receivers)

    def leave(self, waiter: _Recv[T] | _Send[T]) -> None:
        """`waiter`, which is parked, waits no more. O(1) on the average, in any order."""
        waiter.waker = None
        self.gaps += 1
        receivers, senders = self.receivers, self.senders
        if self.gaps * 2 > len(receivers) + len(senders):
            self.receivers = deque(one for one in receivers if one.waker is not None)
            self.senders = deque(one for one in senders if one.waker is not None)
            self.gaps = 0
        else:
            self.close_up(receivers)
            self.close_up(senders)

    def close_up(self, line: deque[Any]) -> None:
        """The first of `line` has gone: take away the gaps behind it."""
        while line and line[0].waker is None:
            line.popleft()
            self.gaps -= 1

    def _wake_all(self, line: deque[Any]) -> None:
        wakers: list[Waker] = []
        while line:
            waiter = line.popleft()
            waker, waiter.waker = waiter.waker, None
            if waker is None:
                self.gaps -= 1
            else:
                wakers.append(waker)
        wake_each(wakers)


_SENT: Final = NO_WAKER
"""Stands for the waker of a sender whose value is the channel's, and of a receiver that did not
have to wait."""


@watch_at_first
@final
class _Send(FutureBase[None], Generic[T]):
    """Waits until the value is in the channel."""

    __slots__ = ("_state", "value", "waker")

    _state: _Shared[T]  # set by `Sender.send`
    value: T
    # Invariant: set while it waits in `senders`; _SENT, for good, once the value is the channel's.
    waker: Waker | None

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless that has to see the poll.
        if self.waker is None and not laws.through_executor and self._state.offer(self.value):
            self.waker = _SENT
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        waker = self.waker
        if waker is _SENT:
            return None
        state = self._state
        if state.closed:
            raise Closed("this channel is closed; nobody would take the value")
        if waker is None:
            if state.offer(self.value):
                self.waker = _SENT
                return None
            state.senders.append(self)
        self.waker = cx.waker
        return PENDING

    def registrations(self) -> int:
        return int(self.waker is not None and self.waker is not _SENT)

    def drop(self) -> None:
        """Take the value back, unless it is in the channel already."""
        if self.waker is not None and self.waker is not _SENT:
            self._state.leave(self)
            del self.value  # a gap may stay in the line, the value does not


@watch_at_first
@final
class _Recv(FutureBase[T]):
    """Waits for the next value."""

    __slots__ = ("_state", "waker", "woken")

    _state: _Shared[T]  # set by `Receiver.recv`
    # Invariant: set while it waits in `receivers`, or was woken; _SENT if it need not wait.
    waker: Waker | None
    # Invariant: True from when a value was reserved for it until it is taken or dropped.
    woken: bool

    def __await__(self) -> Generator[Any, Any, T]:
        # Tried at once, without the executor, unless that has to see the poll.
        state = self._state
        if self.waker is None and len(state.buffer) > state.reserved and not laws.through_executor:
            self.waker = _SENT
            value = state.buffer.popleft()
            if state.senders or state.closed:
                state.taken()
            return value
        try:
            return (yield self)  # type: ignore[no-any-return]
        except REFUSALS:
            wait = future.find_wait(self)
            if wait is None:
                raise
        return (yield from wait)  # type: ignore[no-any-return]

    def poll(self, cx: Context, /) -> Poll[T]:
        state = self._state
        if self.woken:
            self.woken = False
            self.waker = None
            state.reserved -= 1
        elif self.waker is not None or len(state.buffer) <= state.reserved:
            if self.waker is None:
                if state.closed and not state.buffer:
                    raise Closed("this channel is closed and empty")
                state.receivers.append(self)
            self.waker = cx.waker
            return PENDING
        value = state.buffer.popleft()
        if state.senders or state.closed:
            state.taken()
        return value

    def registrations(self) -> int:
        return int(self.waker is not None and self.waker is not _SENT and not self.woken)

    def drop(self) -> None:
        """Leave the queue; what was reserved for this receiver is the next one's."""
        state = self._state
        if self.woken:
            self.woken = False
            self.waker = None
            state.unreserve()
        elif self.waker is not None:
            state.leave(self)


class _End(Generic[T]):
    __slots__ = ("_state",)

    def __init__(self, state: _Shared[T]) -> None:
        self._state = state

    def __enter__(self) -> Self:
        """``with tx: ...`` closes the channel when the block ends."""
        return self

    def __exit__(self, *error: object) -> None:
        self._state.close()


@final
class Sender(_End[T]):
    """The sending end of a channel; any number of tasks may use it."""

    __slots__ = ()

    def send(self, value: T, /) -> FutureBase[None]:
        """``await tx.send(value)``: waits while the channel is full. Raises Closed."""
        # Filled in here: a call of __init__ would cost a third more.
        future: _Send[T] = _Send()
        future._state = self._state
        future.value = value
        future.waker = None
        return future

    def try_send(self, value: T) -> bool:
        """Send without waiting: False when the channel is full. Raises Closed."""
        if self._state.closed:
            raise Closed("this channel is closed; nobody would take the value")
        return self._state.offer(value)

    def close(self) -> None:
        """No more values: receivers get what is left, then Closed; waiting senders get
        Closed at once and keep their values."""
        self._state.close()


@final
class Receiver(_End[T]):
    """The receiving end of a channel; each value goes to one task."""

    __slots__ = ()

    def recv(self) -> FutureBase[T]:
        """``value = await rx.recv()``. Raises Closed when the channel is closed and empty."""
        future: _Recv[T] = _Recv()
        future._state = self._state
        future.woken = False
        future.waker = None
        return future

    def try_recv(self) -> Poll[T]:
        """The next value, or PENDING when there is none that nobody else waits for. Raises
        Closed when the channel is closed and empty."""
        state = self._state
        if len(state.buffer) == state.reserved:
            if state.closed and not state.buffer:
                raise Closed("this channel is closed and empty")
            return PENDING
        value = state.buffer.popleft()
        if state.senders or state.closed:
            state.taken()
        return value

    def close(self) -> None:
        """Nobody will take more than what is in the channel now: as `Sender.close`. For a
        consumer that leaves, so that no sender waits for it."""
        self._state.close()

    def __aiter__(self) -> Receiver[T]:
        """``async for value in rx``: ends when the channel is closed and empty."""
        return self

    def __anext__(self) -> FutureBase[T]:
        return EndsAtClosed(self.recv())


@final
class channel(tuple[Sender[T], Receiver[T]]):
    """A bounded first-in first-out channel: ``tx, rx = channel[int](16)``. A pair, and a class so
    that it can be told what it carries. Raises ValueError for a capacity below 1."""

    __slots__ = ()

    def __new__(cls, capacity: int) -> tuple[Sender[T], Receiver[T]]:  # type: ignore[misc]  # for pyright
        capacity = index(capacity)
        if capacity < 1:
            raise ValueError(f"a channel needs room for at least one value, not {capacity}")
        state: _Shared[T] = _Shared(capacity)
        return super().__new__(cls, (Sender(state), Receiver(state)))


accelerate(globals())
