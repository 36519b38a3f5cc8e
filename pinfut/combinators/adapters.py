"""map: a future made of another."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import copy_context
from typing import Generic, TypeVar, final

from pinfut.combinators.group import Awaited
from pinfut.coroutine import into_future
from pinfut.future import Future, FutureBase, drop
from pinfut.poll import PENDING, Context, Poll

T = TypeVar("T")
U = TypeVar("U")


@final
class Map(FutureBase[U], Generic[T, U]):
    """A future whose value goes through a function; it is as pinned as what is in it."""

    __slots__ = ("_context", "_fn", "_future")

    def __init__(self, future: Future[T], fn: Callable[[T], U]) -> None:
        self._future = future
        self._fn = fn
        self._context = copy_context()

    def poll(self, cx: Context, /) -> Poll[U]:
        value = cx.poll(self._future)
        if value is PENDING:
            return PENDING
        return self._context.run(self._fn, value)

    def drop(self) -> None:
        """Drop the future inside."""
        drop(self._future)


def map(awaitable: Awaited[T], fn: Callable[[T], U]) -> FutureBase[U]:
    """``fn`` of the value, when it comes: ``await map(read(), len)``."""
    return Map(into_future(awaitable), fn)
