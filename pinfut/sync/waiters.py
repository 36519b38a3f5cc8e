"""Waiters: futures that wait in line, and how one of them is roused.

What a roused waiter was roused for (a permit, a lock, a notification) is reserved for it, not
handed to it: it takes it when it is polled, and when it is dropped before that, as a
cancelled one is, the reservation goes to the next. So nothing is lost between the two.

States, and who moves a waiter on::

    new ──poll──▶ waiting ──Line.rouse──▶ roused ──poll──▶ done
                     │                      │
                     └───────── drop ───────┴──▶ gone (a reservation goes to the next)
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Generator
from sys import getrefcount
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, final

from pinfut.coroutine import driver
from pinfut.future import FutureBase
from pinfut.places import caller
from pinfut.poll import PENDING, Context, Pending, Waker

if TYPE_CHECKING:
    from pinfut.checked import Record

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


class Waiter(FutureBase[T]):
    """A future that stands in a line. Subclasses write `poll` and `drop`."""

    __slots__ = ("roused", "waker")

    def __init__(self) -> None:
        # Invariant: set while it waits in a line, and afterwards.
        self.waker: Waker | None = None
        # Invariant: True from `Line.rouse` until it is polled or dropped.
        self.roused = False

    def registrations(self) -> int:
        return _PLACE if self.waker is not None and not self.roused else 0

    def wait(self, line: Line, cx: Context) -> Pending:
        """Stand in `line`, at its end if this is the first time."""
        if self.waker is None:
            line.add(self)
        self.waker = cx.waker
        return PENDING


def _references_of_a_line() -> int:
    """How many references an OrderedDict has to each of its keys."""
    key = object()
    before = getrefcount(key)
    line = OrderedDict.fromkeys([key])
    references = getrefcount(key) - before
    line.clear()
    return references


_PLACE: Final = _references_of_a_line()


@final
class Line(OrderedDict[Waiter[Any], None]):
    """Waiters, first come, first served. Leaving is O(1), wherever one stands.

    Invariant: every one of them has a waker and is not roused.
    """

    __slots__ = ()

    def add(self, waiter: Waiter[Any]) -> None:
        """Let `waiter` stand at the end."""
        self[waiter] = None

    def first(self) -> Waiter[Any]:
        """Who has waited longest. There is one."""
        return next(iter(self))

    def rouse(self) -> Waiter[Any]:
        """Wake who has waited longest. There is one."""
        waiter, _ = self.popitem(last=False)
        waiter.roused = True
        waiter.waker.wake()  # type: ignore[union-attr]  # it waits
        return waiter

    def rouse_all(self) -> None:
        """Wake all that wait now."""
        for _ in range(len(self)):
            self.rouse()

    def leave(self, waiter: Waiter[Any]) -> bool:
        """Take `waiter` out. False when it does not stand here."""
        return self.pop(waiter, self) is None


UNKNOWN: Final = "a place that only checked mode knows"


@final
class Holding:
    """Who has taken a lock or a permit, in checked mode."""

    __slots__ = ("place", "record")

    def __init__(self) -> None:
        self.place = caller()
        # Of the future in whose coroutine that was, which may be polled no more one day. None
        # for a task's own coroutine.
        self.record: Record | None = getattr(driver(), "_law", None)
