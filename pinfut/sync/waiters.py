"""Waiters: futures that wait in a queue, and how one of them is woken.

What a waiter was woken for (a permit, a lock) is reserved for it until it is polled; when it is
dropped before that, the reservation goes to the next, so nothing is lost. States::

    new ──poll──▶ waiting ──WaitQueue.take_first──▶ woken ──poll──▶ done
                     │                                │
                     └────────────── drop ────────────┴──▶ gone
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Generator
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast, final

from pinfut.coroutine import driver
from pinfut.forgotten import tell_if_forgotten
from pinfut.future import FutureBase
from pinfut.places import caller
from pinfut.poll import PENDING, Context, Pending, Waker, wake_each

if TYPE_CHECKING:
    from pinfut.checked import Record

S = TypeVar("S")
T = TypeVar("T")


class _Done(list[None]):
    """An awaitable that is over at once: an empty list, see `pinfut.coroutine.yield_now`."""

    __slots__ = ()
    __await__ = list.__reversed__


DONE: Final = cast("Awaitable[None]", _Done())
"""For what need not wait after all."""

NOTHING: Final = cast("Generator[Any, Any, None]", iter(()))
"""What the ``__await__`` of a future that need not wait gives: it is over, and stays so. (An
iterator is enough for await; the type says what its callers declare.)"""


class _NoWaker:
    __slots__ = ()

    def wake(self) -> None:
        """A no-op."""


NO_WAKER: Final = _NoWaker()
"""In place of the waker of a future that nobody need wake."""


class Waiter(FutureBase[T], Generic[T, S]):
    """A future that stands in a queue. Subclasses write `poll` and `drop`."""

    __slots__ = ("source", "waker", "woken")

    def __init__(self, source: S) -> None:
        self.source = source  # what it waits for
        # Invariant: set while it waits in a queue, and afterwards.
        self.waker: Waker | None = None
        # Invariant: True from `WaitQueue.take_first` until it is polled or dropped.
        self.woken = False

    def __del__(self) -> None:
        if self.waker is None:
            tell_if_forgotten(self)

    def registrations(self) -> int:
        return _PLACE if self.waker is not None and not self.woken else 0

    def wait(self, queue: WaitQueue, cx: Context) -> Pending:
        """Stand in `queue`, at its end if this is the first time."""
        if self.waker is None:
            queue.add(self)
        self.waker = cx.waker
        return PENDING


def _references_of_a_queue() -> int:
    """How many references an OrderedDict has to each of its keys."""
    key = object()
    before = getrefcount(key)
    queue = OrderedDict.fromkeys([key])
    references = getrefcount(key) - before
    queue.clear()
    return references


_PLACE: Final = _references_of_a_queue()


@final
class WaitQueue(OrderedDict[Waiter[Any, Any], None]):
    """Waiters, first in, first out. Leaving is O(1), wherever one stands. Invariant: every one of
    them has a waker and is not woken."""

    __slots__ = ()

    def add(self, waiter: Waiter[Any, Any]) -> None:
        """Let `waiter` stand at the end."""
        self[waiter] = None

    def first(self) -> Waiter[Any, Any]:
        """Who has waited longest. There is one."""
        return next(iter(self))

    def take_first(self) -> Waker:
        """Take out who has waited longest, as woken; wake this waker when all else is done."""
        waiter, _ = self.popitem(last=False)
        waiter.woken = True
        return waiter.waker  # type: ignore[return-value]  # it waits

    def wake(self, count: int) -> None:
        """Wake the first `count`. There are so many."""
        wake_each([self.take_first() for _ in range(count)])

    def wake_all(self) -> None:
        """Wake all that wait now."""
        if self:
            self.wake(len(self))

    def leave(self, waiter: Waiter[Any, Any]) -> bool:
        """Take `waiter` out. False when it does not stand here."""
        return self.pop(waiter, self) is None


UNKNOWN: Final = "a place that only checked mode knows"


@final
class Holder:
    """Who has taken a lock or a permit, in checked mode."""

    __slots__ = ("place", "record")

    def __init__(self) -> None:
        self.place = caller()
        # Of the future in whose coroutine that was; None for a task's own coroutine.
        self.record: Record | None = getattr(driver(), "_law", None)
