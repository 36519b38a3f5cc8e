"""join, select, race and map: futures made of futures.

A combinator never moves what it polls: the children stay in the places where they were
given, and it polls them by index. Each child wakes through a waker of its own that
notes the index, so that a poll visits the children that were woken and no others,
however many there are.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Generic, NamedTuple, TypeVar, cast, final, overload

from pinfut.coroutine import into_future
from pinfut.future import Future, FutureBase, drop
from pinfut.poll import PENDING, Context, Poll, Waker

_log = logging.getLogger("pinfut")

A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
T = TypeVar("T")
U = TypeVar("U")


class _Woken:
    """The children to poll, each at most once, in the order in which they were woken."""

    __slots__ = ("indices", "parent")

    def __init__(self, count: int) -> None:
        # At first everybody has to be polled once.
        self.indices: dict[int, None] = dict.fromkeys(range(count))
        # Invariant: the newest waker of the combinator itself.
        self.parent: Waker | None = None


@final
class _ChildWaker:
    """Wakes the combinator and says for which child."""

    __slots__ = ("_index", "_woken")

    def __init__(self, woken: _Woken, index: int) -> None:
        self._woken = woken
        self._index = index

    def wake(self) -> None:
        woken = self._woken
        woken.indices[self._index] = None
        if woken.parent is not None:
            woken.parent.wake()


class _Group(FutureBase[T]):
    """What join, select and race have in common: children, and the set of the woken."""

    __slots__ = ("_children", "_wakers", "_woken")

    def __init__(self, awaitables: tuple[Awaitable[Any] | Future[Any], ...]) -> None:
        # Invariant: None where the child is done.
        self._children: list[Future[Any] | None] = [into_future(a) for a in awaitables]
        self._woken = _Woken(len(self._children))
        self._wakers = [_ChildWaker(self._woken, i) for i in range(len(self._children))]

    def _poll_child(self, cx: Context, index: int, child: Future[Any]) -> Any:
        return cx.derive(self._wakers[index]).poll(child)

    def drop_rest(self) -> None:
        """Drop what is left once the outcome is known; an error of that does not replace it,
        and is logged."""
        try:
            _Group.drop(self)
        except Exception as error:
            _log.error("a future could not be dropped", exc_info=error)

    def drop(self) -> None:
        """Drop every child that is not done; of several errors the first is raised when all
        have been dropped."""
        first: BaseException | None = None
        for index, child in enumerate(self._children):
            if child is not None:
                self._children[index] = None
                try:
                    drop(child)
                except BaseException as error:
                    first = first or error
        if first is not None:
            raise first


@final
class Join(_Group[tuple[Any, ...]]):
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


class Selected(NamedTuple, Generic[T]):
    """The winner of a select, as its place among the futures given, and its value."""

    winner: int
    value: T


@final
class Select(_Group[Selected[T]]):
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
        self._select: _Group[Any] = Select(awaitables)

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
        _Group.drop(self._select)


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


Awaited = Awaitable[T] | Future[T]
"""What the combinators take: a future, a coroutine, or anything else with ``__await__``."""


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


def map(awaitable: Awaited[T], fn: Callable[[T], U]) -> FutureBase[U]:
    """``fn`` of the value, when it comes: ``await map(read(), len)``."""
    return Map(into_future(awaitable), fn)


def _require_some(awaitables: tuple[object, ...], name: str) -> None:
    if not awaitables:
        raise ValueError(f"{name}() of nothing would wait for ever; give it a future")
