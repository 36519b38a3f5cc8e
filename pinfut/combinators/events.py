"""poll_events: a future that waits for several events, and sees which of them have come."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable
from typing import Any, Generic, TypeVar, final

from pinfut.combinators.group import ChildWaker, Woken
from pinfut.future import FutureBase
from pinfut.laws import ContextKept
from pinfut.poll import PENDING, Context, Future, Poll, Waker
from pinfut.variables import copy_context

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)


@final
class EventContext(Context, Generic[K]):
    """The context of a poll that sees by which events it was woken."""

    __slots__ = ("_cx", "_future", "events")

    def __init__(self, cx: Context, future: PollEvents[Any, K], events: Collection[K]) -> None:
        # Invariant: None once the poll is over.
        self._cx: Context | None = cx
        self._future = future
        # The events whose wakers were called since the last poll, each once, the first to come
        # first. Empty at the first poll, and at one for which no event was the reason.
        self.events = events

    def _live(self) -> Context:
        if self._cx is None:
            raise ContextKept("an EventContext was used after its poll. Keep wakers, never cx")
        return self._cx

    @property
    def waker(self) -> Waker:  # type: ignore[override]  # read through a check
        return self._live().waker

    def waker_of(self, event: K) -> Waker:
        """A waker after whose call the next poll finds `event` in `events`. It serves all further
        polls of the future, which need not ask for it again."""
        woken = self._future.woken
        woken.parent = self._live().waker
        self._future.named = True
        return ChildWaker(woken, event)

    def poll(self, future: Future[T]) -> Poll[T]:
        return self._live().poll(future)

    def derive(self, waker: Waker, owner: object = None) -> Context:
        return self._live().derive(waker, owner)


@final
class PollEvents(FutureBase[T], Generic[T, K]):
    """A future whose poll is a function that sees which events have come."""

    __slots__ = ("_context", "_fn", "named", "woken")

    def __init__(self, fn: Callable[[EventContext[K]], Poll[T]]) -> None:
        self._fn = fn
        self._context = copy_context()
        # The events that have come since the last poll, and who polls.
        self.woken = Woken(())
        # Whether there has been a waker of an event.
        self.named = False

    def poll(self, cx: Context, /) -> Poll[T]:
        woken = self.woken
        woken.parent = None
        events, woken.keys = woken.keys, {}
        own: EventContext[K] = EventContext(cx, self, events.keys())
        try:
            value = self._context.run(self._fn, own)
        finally:
            own._cx = None
        if value is PENDING and self.named:
            woken.rest(cx)
        return value


def poll_events(fn: Callable[[EventContext[K]], Poll[T]]) -> PollEvents[T, K]:
    """The future whose poll is ``fn(cx)``, as `poll_fn`; `cx.waker_of(event)` gives wakers with
    names, and `cx.events` the names of those that were called since the last poll: all of them,
    where a task alone knows that somebody woke it."""
    return PollEvents(fn)
