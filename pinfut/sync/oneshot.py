"""oneshot: a channel for exactly one value."""

from __future__ import annotations

import enum
from typing import ClassVar, Final, Protocol

from typing_extensions import TypeVar

from pinfut.core import accelerate
from pinfut.future import FutureBase
from pinfut.laws import TakenTwice, checked_by_default
from pinfut.poll import PENDING, Context, Poll, Waker
from pinfut.sync.closed import Closed

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)
# A oneshot of which nobody says what it carries is a signal.
Sent = TypeVar("Sent", default=None)


class OneshotSender(Protocol[T_contra]):
    """The sending end of a oneshot."""

    def send(self, value: T_contra, /) -> None:
        """Complete the receiver in place. Raises Closed when it was dropped or closed, and
        TakenTwice when a value was sent before."""

    def close(self) -> None:
        """Give up: the receiver raises Closed. A no-op after `send`."""


class _State(enum.Enum):
    EMPTY = enum.auto()
    TAKEN = enum.auto()
    CLOSED = enum.auto()


_EMPTY: Final = _State.EMPTY
_TAKEN: Final = _State.TAKEN
_CLOSED: Final = _State.CLOSED


class _Oneshot(FutureBase[T]):
    """Both ends of a oneshot; two types keep them apart, one object keeps them small."""

    __slots__ = ("_value", "_waker")

    must_be_taken: ClassVar[bool] = False  # there is nothing to take unless a value was sent

    # Invariant: the value from `send` to the poll that takes it, a _State otherwise.
    _value: T | _State
    _waker: Waker | None  # Invariant: set only while somebody waits

    def poll(self, cx: Context, /) -> Poll[T]:
        value = self._value
        if value is _EMPTY:
            self._waker = cx.waker
            return PENDING
        if value is _TAKEN:
            raise TakenTwice("the value of a oneshot was taken a second time", self)
        if value is _CLOSED:
            raise Closed("this oneshot was closed without a value")
        self._value = _TAKEN
        return value

    def drop(self) -> None:
        """Nobody waits any more: a later send raises Closed."""
        self._waker = None
        if self._value is not _TAKEN:
            self._value = _CLOSED

    def send(self, value: T, /) -> None:
        state = self._value
        if state is not _EMPTY:
            if state is _CLOSED:
                raise Closed("this oneshot is closed, or its receiver is gone")
            raise TakenTwice("a oneshot takes one value; make a channel for more", self)
        self._value = value
        waker = self._waker
        if waker is not None:
            self._waker = None
            waker.wake()

    def close(self) -> None:
        if self._value is _EMPTY:
            self._value = _CLOSED
            if self._waker is not None:
                self._waker.wake()


class _Recorded(_Oneshot[T]):
    """A oneshot in checked mode: what was sent has to be taken, unless it is None, a signal."""

    __slots__ = ()
    __qualname__ = "_Oneshot"

    def send(self, value: T, /) -> None:
        super().send(value)
        record = getattr(self, "_law", None)
        if record is not None:
            record.must_be_taken = value is not None


_KIND: Final = _Recorded if checked_by_default() else _Oneshot


def oneshot() -> tuple[OneshotSender[Sent], FutureBase[Sent]]:
    """A channel for exactly one value: ``tx, rx = oneshot()``; ``tx.send(1)``; ``await rx``.

    The receiver is a future: it gives the value, or raises Closed. To type checkers it is a
    signal, ``tx.send(None)``, where no annotation says what else it carries.
    """
    # Filled in here: a call of __init__ would cost a third more.
    cell: _Oneshot[Sent] = _KIND()
    cell._value = _EMPTY
    cell._waker = None
    return cell, cell


accelerate(globals())
