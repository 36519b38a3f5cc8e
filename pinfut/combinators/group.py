"""Group: children that are polled where they stand, and the set of those that were woken.

Each child wakes through a waker of its own that notes its index, so a poll visits the children that
were woken and no others. A child that never waits never has a waker made for it."""

from __future__ import annotations

from collections.abc import Awaitable, Iterable
from types import CoroutineType
from typing import Any, TypeAlias, TypeVar, final

from pinfut.closing import raise_first
from pinfut.coroutine import CoroutineFuture, DriverCell, driver_context, into_future
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase, drop_of, tell_undropped
from pinfut.laws import describe
from pinfut.poll import NOBODY, PENDING, Context, Future, Poll, TaskContext, Waker

T = TypeVar("T")

# For the overloads of what takes several.
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")

Awaited: TypeAlias = Awaitable[T]
"""What the combinators take: a future, a coroutine, or anything else with ``__await__``.

A class with `poll` alone works too; to type checkers `pin` makes an awaitable of it. (A union
of both protocols here would keep mypy from inferring T where it is itself a union.)"""


@final
class Woken:
    """The children to poll, each at most once, in the order in which they were woken. It knows no
    futures: what keeps a waker does not keep the combinator alive."""

    __slots__ = ("keys", "parent")

    def __init__(self, keys: Iterable[Any]) -> None:
        self.keys: dict[Any, None] = dict.fromkeys(keys)
        # Invariant: the newest waker of the combinator; None while it is polled, and once called.
        self.parent: Waker | None = None

    def rest(self, cx: Context) -> None:
        """The combinator gives PENDING now. Who was woken while it polled is not lost."""
        self.parent = cx.waker
        if self.keys:
            self.wake()

    def wake(self) -> None:
        """Have the combinator polled."""
        parent = self.parent
        if parent is not None:
            self.parent = None
            parent.wake()


@final
class ChildWaker:
    """Wakes the combinator and says for which child."""

    __slots__ = ("_key", "_woken")

    def __init__(self, woken: Woken, key: object) -> None:
        self._woken = woken
        self._key = key

    def wake(self) -> None:
        woken = self._woken
        woken.keys[self._key] = None
        parent = woken.parent
        if parent is not None:
            woken.parent = None
            parent.wake()


@final
class ChildContext(Context):
    """The context of the children of one combinator; the waker of each is made when it is read."""

    __slots__ = ("key", "wakers", "woken")

    def __init__(self, woken: Woken) -> None:
        self.woken = woken
        # Invariant: the child that is being polled; -1 for none.
        self.key = -1
        self.wakers: dict[int, ChildWaker] = {}

    @property
    def waker(self) -> Waker:  # type: ignore[override]  # made when it is read
        key = self.key
        waker = self.wakers.get(key)
        if waker is None:
            if key < 0:
                return NOBODY
            waker = self.wakers[key] = ChildWaker(self.woken, key)
        return waker

    def child(self, cx: Context, key: int) -> Context:
        """The context for the next poll of the child `key`; `cx` is the combinator's own."""
        self.key = key
        if type(cx) is TaskContext or type(cx) is ChildContext:
            return self
        # Checked mode makes a context for each poll.
        return cx.derive(self.waker)

    def poll_child(self, cx: Context, key: int, child: Future[T]) -> Poll[T]:
        """Poll `child` in its place; `cx` is the combinator's own."""
        try:
            return self.child(cx, key).poll(child)
        finally:
            self.key = -1


class Group(FutureBase[T]):
    """What join, select and race have in common: children, and the set of the woken."""

    __slots__ = ("_children", "_cx", "_woken")

    def __init__(
        self, awaitables: tuple[Awaitable[Any] | Future[Any], ...], first: int = 0
    ) -> None:
        # At first everybody has to be polled once, beginning with `first`.
        order = range(len(awaitables))
        self._woken = Woken([*order[first:], *order[:first]] if first else order)
        self._children = children_of(awaitables)  # Invariant: None where the child is done
        self._cx = ChildContext(self._woken)

    def poll_first(self, cx: Context) -> tuple[int, Any]:
        """Poll who was woken until one is ready: its index and its value, PENDING if none
        is. Raises what a child raises; that one is done then."""
        woken = self._woken
        woken.parent = None
        # Only what is woken by now: who wakes itself while it is polled waits for the next.
        keys, woken.keys = woken.keys, {}
        children = self._children
        for index in keys:
            child = children[index]
            if child is None:
                continue
            try:
                value = self._cx.poll_child(cx, index, child)
            except BaseException:
                children[index] = None
                raise
            if value is not PENDING:
                children[index] = None
                return index, value
        woken.rest(cx)
        return 0, PENDING

    def __del__(self) -> None:
        # Its first poll takes the keys of all children.
        if self._woken.keys and self._woken.parent is None:
            tell_if_forgotten(self, "_children")

    def drop_rest(self) -> None:
        """Drop what is left once the outcome is known; an error of that is logged."""
        try:
            Group.drop(self)
        except BaseException as error:
            tell_undropped(self, error)

    def drop(self) -> None:
        """Drop every child that is not done, and then raise as `raise_first`."""
        # Here, as no helper may stand between two levels (see `drop_of`).
        self._dropped()
        errors: list[BaseException] = []
        children = self._children
        for index, child in enumerate(children):
            if child is not None:
                children[index] = None
                try:
                    drop_of(child)()
                except BaseException as error:
                    errors.append(error)
        raise_first(errors)

    def _dropped(self) -> None:
        """It is being dropped: what it has of its own goes."""


def children_of(awaitables: Iterable[Awaitable[Any] | Future[Any]]) -> list[Future[Any] | None]:
    """The futures behind `awaitables`; coroutines share one cell, for one runs at a time."""
    cell: DriverCell | None = None
    context = None
    children: list[Future[Any] | None] = []
    given: set[int] = set()
    for awaitable in awaitables:
        if type(awaitable) is CoroutineType:
            if cell is None or context is None:
                cell = DriverCell()
                context = driver_context(cell)
            children.append(CoroutineFuture(awaitable, cell, context.copy()))
        else:
            future = into_future(awaitable)
            if id(future) in given:
                raise ValueError(
                    f"{describe(future)} was given twice, and has one result: give it once, or "
                    "clones of shared(future)"
                )
            given.add(id(future))
            children.append(future)
    return children
