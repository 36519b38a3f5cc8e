"""Group: children that are polled where they stand, and the set of those that were woken.

A combinator never moves what it polls: the children stay in the places where they were
given, and it polls them by index. Each child wakes through a waker of its own that
notes the index, so that a poll visits the children that were woken and no others,
however many there are.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, TypeVar, final

from pinfut.coroutine import into_future
from pinfut.future import Future, FutureBase, drop
from pinfut.poll import Context, Waker

_log = logging.getLogger("pinfut")

T = TypeVar("T")

Awaited = Awaitable[T] | Future[T]
"""What the combinators take: a future, a coroutine, or anything else with ``__await__``."""


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


class Group(FutureBase[T]):
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
            Group.drop(self)
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
