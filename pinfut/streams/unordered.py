"""FuturesUnordered, FuturesOrdered: many futures as one stream of their values.

They hold at most as many as they were made for; a poll visits those that were woken alone."""

from __future__ import annotations

from asyncio import CancelledError
from collections import OrderedDict
from functools import partial
from typing import TypeVar, final

from pinfut.closing import close_each, raise_first
from pinfut.combinators.group import Awaited, ChildContext, Woken
from pinfut.coroutine import CoroutineFuture, into_future
from pinfut.future import drop
from pinfut.poll import PENDING, Context, Future, Pending, Poll
from pinfut.streams.stream import END, Full, PollNext, StreamBase

T = TypeVar("T")


class InFlight(StreamBase[T]):
    """What the two have in common: the children, and who of them was woken."""

    __slots__ = ("_children", "_closing", "_cx", "_keys", "_todo", "_woken", "capacity")

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"{type(self).__name__} needs room for one or more, not {capacity}")
        self.capacity = capacity
        # Invariant: the futures that are not done, by the order in which they were pushed.
        self._children: dict[int, Future[T]] = {}
        self._keys = 0
        self._woken = Woken(())
        self._cx = ChildContext(self._woken)
        # Invariant: those to be polled next, woken before the last poll began.
        self._todo: OrderedDict[int, None] = OrderedDict()
        # Invariant: what the clean-ups have raised so far; None before `poll_close`.
        self._closing: list[BaseException] | None = None

    def __len__(self) -> int:
        """How many have been pushed and not yet given out."""
        return len(self._children)

    @property
    def full(self) -> bool:
        """Whether the next push would be refused."""
        return len(self) >= self.capacity

    def push(self, awaitable: Awaited[T]) -> None:
        """Add a future or a coroutine; it is polled for the first time with the next item. Raises
        Full when there are `capacity` of them: take an item first."""
        if self.full:
            raise Full(
                f"{type(self).__name__} holds the {self.capacity} futures that it was made "
                "for; take an item out before you push another"
            )
        key = self._keys
        self._children[key] = into_future(awaitable)
        self._keys = key + 1
        woken = self._woken
        woken.keys[key] = None
        woken.wake()

    def _poll_some(self, cx: Context) -> tuple[int, T | Pending, BaseException | None]:
        """Poll the woken until one is done: its key, its value or its error; neither if none is."""
        woken, todo, children = self._woken, self._todo, self._children
        woken.parent = None
        # Who wakes itself while it is polled waits for the next poll.
        todo.update(woken.keys)
        woken.keys.clear()
        while todo:
            key, _ = todo.popitem(last=False)
            child = children.get(key)
            if child is None:
                continue
            try:
                value = self._cx.poll_child(cx, key, child)
            except BaseException as error:
                self._done(key)
                return key, PENDING, error
            if value is not PENDING:
                self._done(key)
                return key, value, None
        woken.rest(cx)
        return 0, PENDING, None

    def _done(self, key: int) -> None:
        del self._children[key]
        self._cx.wakers.pop(key, None)

    def poll_close(self, cx: Context, /) -> Poll[None]:
        """Cancel the coroutines, wait for that, drop the rest. Raises as `raise_first`."""
        errors = self._closing
        if errors is None:
            self._closing = errors = []
            for key, child in list(self._children.items()):
                try:
                    if isinstance(child, CoroutineFuture):
                        self._woken.keys[key] = None
                        child.cancel()
                    else:
                        del self._children[key]
                        drop(child)
                except BaseException as late:
                    errors.append(late)
        while self._children:
            _, value, ended = self._poll_some(cx)
            if value is PENDING and ended is None:
                return PENDING
            if ended is not None and not isinstance(ended, CancelledError):
                errors.append(ended)
        self.drop()
        self._closing = None
        raise_first(errors)
        return None

    def drop(self) -> None:
        """Drop every future in it, and then raise as `raise_first`."""
        self._woken.parent = None
        children = list(self._children.values())
        self._children.clear()
        self._cx.wakers.clear()
        close_each(partial(drop, child) for child in children)


@final
class FuturesUnordered(InFlight[T]):
    """The values of many futures, as they come: ``async for page in pages``. It ends when it is
    empty, and goes on when something is pushed after that. An error is raised in the place of its
    value; the others stay."""

    __slots__ = ()

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        if not self._children:
            return END
        _, value, error = self._poll_some(cx)
        if error is not None:
            try:
                raise error
            finally:
                del error
        return value


@final
class FuturesOrdered(InFlight[T]):
    """The values of many futures, in the order in which they were pushed. As `FuturesUnordered`,
    but a value that comes too early is kept, and counted for the capacity, until its turn."""

    __slots__ = ("_early", "_head")

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        # Invariant: the value or the error of those that are done and wait for their turn.
        self._early: dict[int, tuple[T | Pending, BaseException | None]] = {}
        self._head = 0  # Invariant: whose turn it is

    def __len__(self) -> int:
        return self._keys - self._head

    def poll_next(self, cx: Context, /) -> PollNext[T]:
        head = self._head
        early = self._early
        if head == self._keys:
            return END
        while head not in early:
            key, value, error = self._poll_some(cx)
            if value is PENDING and error is None:
                return PENDING
            early[key] = value, error
        self._head = head + 1
        value, error = early.pop(head)
        if error is not None:
            try:
                raise error
            finally:
                del error
        return value

    def drop(self) -> None:
        """Drop every future in it, and forget the values that wait for their turn."""
        self._early.clear()
        self._head = self._keys
        super().drop()
