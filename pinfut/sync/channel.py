"""channel: a bounded queue between tasks, first in, first out.

A cancelled waiter never loses a value: what had been handed to it goes to the next.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, Final, Generic, TypeVar, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import PENDING, Context, Pending, Poll, Waker
from pinfut.sync.closed import Closed

T = TypeVar("T")


class _Shared(Generic[T]):
    """What the two ends of a channel share."""

    __slots__ = ("buffer", "capacity", "closed", "receivers", "senders")

    def __init__(self, capacity: int) -> None:
        # Invariant: 0 once closed.
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
            receiver.waker.wake()  # type: ignore[union-attr]  # it is parked
            return True
        if len(self.buffer) < self.capacity:
            self.buffer.append(value)
            return True
        return False

    def take(self) -> T:
        """The oldest value of a buffer that is not empty; its place goes to the first waiting
        sender."""
        value = self.buffer.popleft()
        if self.senders and len(self.buffer) < self.capacity:
            sender = self.senders.popleft()
            self.buffer.append(sender.value)
            waker, sender.waker = sender.waker, _SENT
            waker.wake()  # type: ignore[union-attr]  # it is parked
        return value


class _Sent:
    """Stands for the waker of a sender whose value is the channel's."""

    __slots__ = ()

    def wake(self) -> None:
        pass


_SENT: Final = _Sent()
_NOTHING: Final = iter(())
"""What an await that has nothing to wait for goes through: it is over, and stays so."""


@final
class _Send(FutureBase[None], Generic[T]):
    """Waits until the value is in the channel."""

    __slots__ = ("_state", "value", "waker")

    # Set by `Sender.send`.
    _state: _Shared[T]
    value: T
    # Invariant: None at first; set once the future waits; _SENT once the value is the
    # channel's, and then nothing takes it back.
    waker: Waker | None

    def __await__(self) -> Generator[Any, Any, None]:
        # Tried at once, without the executor, unless checked mode wants to see the poll.
        if self.waker is None and not laws.recording and self._state.offer(self.value):
            self.waker = _SENT
            return _NOTHING  # type: ignore[return-value]  # an iterator is enough for await
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

    def drop(self) -> None:
        """Take the value back, unless it is in the channel already."""
        if self.waker is not None and self.waker is not _SENT:
            try:
                self._state.senders.remove(self)
            except ValueError:
                return  # closed meanwhile: the queue was emptied


@final
class _Recv(FutureBase[T]):
    """Waits for the next value."""

    __slots__ = ("_state", "value", "waker")

    # Set by `Receiver.recv`.
    _state: _Shared[T]
    # Invariant: PENDING until a sender hands a value to this receiver.
    value: T | Pending
    # Invariant: None at first; set once the future waits.
    waker: Waker | None

    def __await__(self) -> Generator[Any, Any, T]:
        # Tried at once, without the executor, unless checked mode wants to see the poll.
        if self.waker is None and self._state.buffer and not laws.recording:
            return self._state.take()
        return (yield self)  # type: ignore[no-any-return]

    def poll(self, cx: Context, /) -> Poll[T]:
        value = self.value
        if value is not PENDING:
            self.value = PENDING
            return value
        state = self._state
        if self.waker is None or state.closed:
            if state.buffer:
                return state.take()
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
        state = self._state
        if state.closed:
            return
        state.closed = True
        state.capacity = 0
        waiting: list[_Recv[T] | _Send[T]] = [*state.receivers, *state.senders]
        state.receivers.clear()
        state.senders.clear()
        for waiter in waiting:
            waiter.waker.wake()  # type: ignore[union-attr]  # they are parked


@final
class Receiver(Generic[T]):
    """The receiving end of a channel; each value goes to one task."""

    __slots__ = ("_state",)

    def __init__(self, state: _Shared[T]) -> None:
        self._state = state

    def recv(self) -> FutureBase[T]:
        """``value = await rx.recv()``: waits while the channel is empty. Raises Closed
        when it is closed and empty."""
        future: _Recv[T] = _Recv()
        future._state = self._state
        future.value = PENDING
        future.waker = None
        return future


def channel(capacity: int) -> tuple[Sender[T], Receiver[T]]:
    """A bounded first-in first-out channel: ``tx, rx = channel(16)``.

    Raises ValueError for a capacity below 1.
    """
    if capacity < 1:
        raise ValueError(f"a channel needs room for at least one value, not {capacity}")
    state: _Shared[T] = _Shared(capacity)
    return Sender(state), Receiver(state)
