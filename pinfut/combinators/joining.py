"""join: all the values."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, TypeVar, final, overload

from pinfut.combinators.group import Awaited, Group
from pinfut.future import Future, FutureBase
from pinfut.poll import PENDING, Context, Poll

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
T = TypeVar("T")


@final
class Join(Group[tuple[Any, ...]]):
    """All the values, in the order in which the futures were given.

    The first error is raised at once, after the others have been dropped.
    """

    __slots__ = ("_left", "_values")

    def __init__(self, awaitables: tuple[Awaitable[Any] | Future[Any], ...]) -> None:
        super().__init__(awaitables)
        self._values: list[Any] = [None] * len(self._children)
        self._left = len(self._children)

    def poll(self, cx: Context, /) -> Poll[tuple[Any, ...]]:
        woken = self._woken
        woken.parent = cx.waker
        # Only what is woken by now: a child that wakes itself while it is polled waits
        # for the next poll, or one that yields for ever would never let this one return.
        for index in list(woken.indices):
            del woken.indices[index]
            child = self._children[index]
            if child is None:
                continue
            try:
                value = self._poll_child(cx, index, child)
            except BaseException:
                self._children[index] = None
                self.drop_rest()
                raise
            if value is not PENDING:
                self._children[index] = None
                self._values[index] = value
                self._left -= 1
        if self._left:
            return PENDING
        return tuple(self._values)


@overload
def join(a: Awaited[A], /) -> FutureBase[tuple[A]]: ...
@overload
def join(a: Awaited[A], b: Awaited[B], /) -> FutureBase[tuple[A, B]]: ...
@overload
def join(a: Awaited[A], b: Awaited[B], c: Awaited[C], /) -> FutureBase[tuple[A, B, C]]: ...
@overload
def join(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], /
) -> FutureBase[tuple[A, B, C, D]]: ...
@overload
def join(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], e: Awaited[E], /
) -> FutureBase[tuple[A, B, C, D, E]]: ...
@overload
def join(*awaitables: Awaited[T]) -> FutureBase[tuple[T, ...]]: ...
def join(*awaitables: Awaited[Any]) -> FutureBase[Any]:
    """All values, in the order given: ``a, b = await join(first(), second())``.

    Polls the children in place; no task is made. When one raises, the others are dropped
    and its error is raised at once.
    """
    return Join(awaitables)
