"""select and race: the first value.

At its first poll each polls its children in order until one is ready; later those that were woken,
in the order in which they were."""

from __future__ import annotations

import threading
from collections.abc import Awaitable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast, final, overload

from pinfut.combinators.group import A, Awaited, B, C, D, E, Group
from pinfut.future import FutureBase
from pinfut.pin import Pinned
from pinfut.poll import PENDING, Context, Future, Poll

T = TypeVar("T")


class Selected(NamedTuple, Generic[T]):
    """How a select ended: ``winner, value, losers = await select(a, b)``."""

    winner: int
    """The place of the winner among the futures given."""
    value: T
    """What it gave."""
    losers: tuple[Pinned[T], ...] = ()
    """The others, in the order given, pinned where they stand. They are the caller's: to be
    awaited, selected again or dropped, by the task that ran the select and no other. Those
    that nobody keeps, here or elsewhere, are dropped."""


@final
class Select(Group[Selected[T]]):
    """The first future that is ready; the losers stay pinned where they are. When it fails or is
    dropped, it can hand nothing back. What the caller holds stays then, a Pinned or a future of his
    own; the rest is dropped."""

    __slots__ = ("_given",)

    def __init__(
        self, awaitables: tuple[Awaitable[Any] | Future[Any], ...], first: int = 0
    ) -> None:
        super().__init__(awaitables, first)
        self._given = awaitables
        for given in awaitables:
            if type(given) is Pinned:
                given.keep()

    def poll(self, cx: Context, /) -> Poll[Selected[T]]:
        try:
            index, value = self.poll_first(cx)
        except BaseException:
            self._leave()
            raise
        if value is PENDING:
            return cast("Poll[Selected[T]]", value)
        return Selected(index, value, self._losers())

    def drop(self) -> None:
        """Leave to the caller what he holds, and drop the rest."""
        self._woken.parent = None
        self._leave()

    def _leave(self) -> None:
        # Pinned ones alone have the others for a moment, and see whether anybody else has.
        left = self._losers()
        del left

    def _losers(self) -> tuple[Pinned[T], ...]:
        losers = tuple(
            given if type(given) is Pinned else Pinned(cast("Future[T]", child))
            for given, child in zip(self._given, self._children, strict=True)
            if child is not None
        )
        self._given = ()
        self._children.clear()
        return losers


_GOLDEN: Final = (5**0.5 - 1) / 2


class _Turns(threading.local):
    """The draw of the last unbiased one in this thread's run, from 0 up to 1."""

    drawn = 0.0


_turns: Final = _Turns()


def _turn(count: int) -> int:
    """Which of `count` the next unbiased one polls first: multiples of the golden ratio spread."""
    _turns.drawn = drawn = (_turns.drawn + _GOLDEN) % 1.0
    return int(drawn * count)


def restart_turns() -> None:
    """A run begins in this thread: the same program gets the same turns. For executors."""
    _turns.drawn = 0.0


@final
class Race(Group[T]):
    """The value of the first future that is ready; the losers are dropped."""

    __slots__ = ()

    def poll(self, cx: Context, /) -> Poll[T]:
        try:
            _, value = self.poll_first(cx)
        except BaseException:
            self.drop_rest()
            raise
        if value is not PENDING:
            self.drop_rest()
        return cast("Poll[T]", value)


@overload
def select(a: Awaited[A], /, *, biased: bool = ...) -> FutureBase[Selected[A]]: ...
@overload
def select(
    a: Awaited[A], b: Awaited[B], /, *, biased: bool = ...
) -> FutureBase[Selected[A | B]]: ...
@overload
def select(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], /, *, biased: bool = ...
) -> FutureBase[Selected[A | B | C]]: ...
@overload
def select(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], /, *, biased: bool = ...
) -> FutureBase[Selected[A | B | C | D]]: ...
@overload
def select(
    a: Awaited[A], b: Awaited[B], c: Awaited[C],
    d: Awaited[D], e: Awaited[E], /, *, biased: bool = ...,
) -> FutureBase[Selected[A | B | C | D | E]]: ...  # fmt: skip
@overload
def select(*awaitables: Awaited[T], biased: bool = ...) -> FutureBase[Selected[T]]: ...
def select(*awaitables: Awaited[Any], biased: bool = True) -> FutureBase[Any]:
    """The first that is ready, as ``Selected(winner, value, losers)``; the losers stay pinned and
    are the caller's. Those that nobody keeps are dropped. Of several that are ready at first, the
    one given first wins; with ``biased=False`` they take turns. When the first to end fails, its
    error is raised. Raises ValueError for no futures at all."""
    _require_some(awaitables, "select")
    return Select(awaitables, 0 if biased else _turn(len(awaitables)))


@overload
def race(a: Awaited[A], /, *, biased: bool = ...) -> FutureBase[A]: ...
@overload
def race(a: Awaited[A], b: Awaited[B], /, *, biased: bool = ...) -> FutureBase[A | B]: ...
@overload
def race(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], /, *, biased: bool = ...
) -> FutureBase[A | B | C]: ...
@overload
def race(
    a: Awaited[A], b: Awaited[B], c: Awaited[C], d: Awaited[D], /, *, biased: bool = ...
) -> FutureBase[A | B | C | D]: ...
@overload
def race(
    a: Awaited[A], b: Awaited[B], c: Awaited[C],
    d: Awaited[D], e: Awaited[E], /, *, biased: bool = ...,
) -> FutureBase[A | B | C | D | E]: ...  # fmt: skip
@overload
def race(*awaitables: Awaited[T], biased: bool = ...) -> FutureBase[T]: ...
def race(*awaitables: Awaited[Any], biased: bool = True) -> FutureBase[Any]:
    """The value (or error) of the first that is ready; the losers are dropped. `biased` as of
    `select`. Raises ValueError for no futures at all: it would wait forever."""
    _require_some(awaitables, "race")
    return Race(awaitables, 0 if biased else _turn(len(awaitables)))


def _require_some(awaitables: tuple[object, ...], name: str) -> None:
    if not awaitables:
        raise ValueError(f"{name}() of nothing would wait forever; give it a future")
