"""Closed: what the other side of a closed channel gets."""

from __future__ import annotations

from typing import TypeVar, final

from pinfut.future import FutureBase, drop
from pinfut.poll import Context, Future, Poll

T = TypeVar("T")


class Closed(Exception):
    """The other side is gone: no value will come, or nobody would take one."""


@final
class EndsAtClosed(FutureBase[T]):
    """A receive in the form of ``async for``: Closed is StopAsyncIteration."""

    __slots__ = ("_recv",)

    def __init__(self, recv: Future[T]) -> None:
        self._recv = recv

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            return cx.poll(self._recv)
        except Closed:
            raise StopAsyncIteration from None

    def drop(self) -> None:
        """Drop the receive: a value at hand goes to the next receiver."""
        drop(self._recv)
