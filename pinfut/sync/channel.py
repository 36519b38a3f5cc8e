"""channel: a bounded queue between tasks, first in, first out.

A cancelled waiter never loses a value: what had been handed to it goes to the next.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar, cast, final

from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Pending, Poll, Waker
from pinfut.sync.closed import Closed, EndsAtClosed

T = TypeVar("T")


class _Shared(Generic[T]):
    """What the two ends of a channel share."""

    __slots__ = ("buffer", "capacity", "closed", "receivers", "senders")

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # Invariant: len(buffer) <= capacity, but for values that a cancelled receiver
        # gave back; and receivers wait only while it is empty, senders only while full.
        self.buffer: deque[T] = deque()
        # Invariant: every entry here is parked and has a waker.
        self.receivers: deque[_Recv[T]] = deque()
        self.senders: deque[_Send[T]] = deque()
        self.closed = False

    def offer(self, value: T) -> bool:
        """Hand `value` to a waiting receiver or to the buffer, if there is room."""
        if self.receivers:
            receiver = self.receivers.popleft()
            receiver.value = value
            cast(Waker, receiver.waker).wake()
            return True
        if len(self.buffer) < self.capacity:
            self.buffer.append(value)
            return True
        return False

    def take(self) -> Poll[T]:
        """The oldest value, if there is one; its place goes to the first waiting sender."""
        if not self.buffer:
            return PENDING
        value = self.buffer.popleft()
        if self.senders and len(self.buffer) < self.capacity:
            sender = self.senders.popleft()
            self.buffer.append(sender.value)
            sender.sent = True
            cast(Waker, sender.waker).wake()
        return value


@final
class _Send(FutureBase[None], Generic[T]):
    """Waits until the value is in the channel."""

    __slots__ = ("_state", "sent", "value", "waker")

    def __init__(self, state: _Shared[T], value: T) -> None:
        self._state: _Shared[T] = state
        self.value = value
        self.waker: Waker | None = None
        # Invariant: True once the value is the channel's; then nothing takes it back.
        self.sent = False

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.sent:
            return None
        state = self._state
        if state.closed:
            raise Closed("this channel is closed; nobody would take the value")
        if self.waker is None:
            if state.offer(self.value):
                self.sent = True
                return None
            state.senders.append(self)
        self.waker = cx.waker
        return PENDING

    def drop(self) -> None:
        """Take the value back, unless it is in the channel already."""
        if self.waker is not None and not self.sent:
            try:
                self._state.senders.remove(self)
            except ValueError:
                return  # closed meanwhile: the queue was emptied


@final
class _Recv(FutureBase[T]):
    """Waits for the next value."""

    __slots__ = ("_state", "value", "waker")

    def __init__(self, state: _Shared[T]) -> None:
        self._state = state
        self.waker: Waker | None = None
        # Invariant: not PENDING once a sender has handed a value to this receiver.
        self.value: T | Pending = PENDING

    def poll(self, cx: Context, /) -> Poll[T]:
        value = self.value
        if value is not PENDING:
            self.value = PENDING
            return value
        state = self._state
        if self.waker is None or state.closed:
            value = state.take()
            if value is not PENDING:
                return value
            if state.closed:
                raise Closed("this channel is closed and empty")
            state.receivers.append(self)
        self.waker = cx.waker
        return PENDING

    def drop(self) -> None:
        """Leave the queue; a value that had been handed over goes to the next receiver."""
        state = self._state
        value, self.value = self.value, PENDING
        if value is not PENDING:
            if state.receivers:
                state.offer(value)
            else:
                state.buffer.appendleft(value)
        elif self.waker is not None:
            try:
                state.receivers.remove(self)
            except ValueError:
                return  # closed meanwhile: the queue was emptied


@final
class Sender(Generic[T]):
    """The sending end of a channel; any number of tasks may use it."""

    __slots__ = ("_state",)

    def __init__(self, state: _Shared[T]) -> None:
        self._state = state

    def send(self, value: T) -> FutureBase[None]:
        """``await tx.send(value)``: waits while the channel is full. Raises Closed."""
        return _Send(self._state, value)

    def try_send(self, value: T) -> bool:
        """Send without waiting: False when the channel is full. Raises Closed."""
        if self._state.closed:
            raise Closed("this channel is closed; nobody would take the value")
        return self._state.offer(value)

    def close(self) -> None:
        """No more values: receivers get what is left, then Closed; waiting senders get
        Closed at once and keep their values."""
        state = self._state
        if state.closed:
            return
        state.closed = True
        waiting: list[_Recv[T] | _Send[T]] = [*state.receivers, *state.senders]
        state.receivers.clear()
        state.senders.clear()
        for waiter in waiting:
            cast(Waker, waiter.waker).wake()


@final
class Receiver(Generic[T]):
    """The receiving end of a channel; each value goes to one task."""

    __slots__ = ("_state",)

    def __init__(self, state: _Shared[T]) -> None:
        self._state = state

    def recv(self) -> FutureBase[T]:
        """``value = await rx.recv()``: waits while the channel is empty. Raises Closed
        when it is closed and empty."""
        return _Recv(self._state)

    def __aiter__(self) -> Receiver[T]:
        """``async for value in rx``: ends when the channel is closed and empty."""
        return self

    def __anext__(self) -> FutureBase[T]:
        return EndsAtClosed(self.recv())


def channel(capacity: int) -> tuple[Sender[T], Receiver[T]]:
    """A bounded first-in first-out channel: ``tx, rx = channel(16)``.

    Raises ValueError for a capacity below 1.
    """
    if capacity < 1:
        raise ValueError(f"a channel needs room for at least one value, not {capacity}")
    state: _Shared[T] = _Shared(capacity)
    return Sender(state), Receiver(state)
