"""select and race: the first value."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Generic, NamedTuple, TypeVar, cast, final

from pinfut.combinators.group import Awaited, Group
from pinfut.future import Future, FutureBase
from pinfut.poll import PENDING, Context, Poll

T = TypeVar("T")


class Selected(NamedTuple, Generic[T]):
    """The winner of a select, as its place among the futures given, and its value."""

    winner: int
    value: T


@final
class Select(Group[Selected[T]]):
    """The first future that is ready, with its index. The losers stay pinned where they
    are: give them to the next select, await them, or drop them. Dropping the select
    itself drops none of them: they are the caller's."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[Selected[T]]:
        woken = self._woken
        woken.parent = cx.waker
        for index in list(woken.indices):
            del woken.indices[index]
            child = self._children[index]
            assert child is not None
            value = self._poll_child(cx, index, child)
            if value is not PENDING:
                return Selected(index, value)
        return PENDING

    def drop(self) -> None:
        """Forget the wakers; the futures are the caller's and stay as they are."""
        self._woken.parent = None


@final
class Race(FutureBase[T]):
    """The value of the first future that is ready; the losers are dropped."""

    __slots__ = ("_select",)

    def __init__(self, awaitables: tuple[Awaitable[Any] | Future[Any], ...]) -> None:
        self._select: Group[Any] = Select(awaitables)

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            won = self._select.poll(cx)
        except BaseException:
            self._select.drop_rest()
            raise
        if won is PENDING:
            return PENDING
        self._select._children[won.winner] = None
        self._select.drop_rest()
        return cast(T, won.value)

    def drop(self) -> None:
        """Drop every future of the race."""
        Group.drop(self._select)


def select(*awaitables: Awaited[T]) -> FutureBase[Selected[T]]:
    """The first that is ready, as ``Selected(winner, value)``; the losers stay pinned.

    Raises ValueError for no futures at all: it would wait for ever.
    """
    _require_some(awaitables, "select")
    return Select(awaitables)


def race(*awaitables: Awaited[T]) -> FutureBase[T]:
    """The value (or error) of the first that is ready; the losers are dropped.

    Raises ValueError for no futures at all: it would wait for ever.
    """
    _require_some(awaitables, "race")
    return Race(awaitables)


def _require_some(awaitables: tuple[object, ...], name: str) -> None:
    if not awaitables:
        raise ValueError(f"{name}() of nothing would wait for ever; give it a future")
