"""shared: one future, several awaiters; each gets its value.

Of the clones that wait the oldest polls the future when that is woken; when it is dropped before,
the next one does::

    waiting ──future woken: the oldest is woken, polls──▶ ready: all are woken
       │
       └── a clone dropped: its turn goes on ── the last one dropped ──▶ future dropped
"""

from __future__ import annotations

from collections import OrderedDict
from types import TracebackType
from typing import Generic, TypeVar, cast, final

from pinfut.closing import set_traceback, traceback_of
from pinfut.combinators.group import Awaited
from pinfut.coroutine import into_future
from pinfut.future import FutureBase, drop_of, tell_undropped
from pinfut.laws import PinError
from pinfut.poll import PENDING, Context, Future, Pending, Poll, Waker, wake_each

T = TypeVar("T")


@final
class _Hub(Generic[T]):
    """What the clones share; it owns the future and is its waker."""

    __slots__ = ("clones", "error", "future", "keys", "traceback", "value", "waiting", "woken")

    def __init__(self, future: Future[T]) -> None:
        self.future: Future[T] | None = future  # Invariant: None once it is done or dropped
        self.woken = True  # at first it has to be polled once
        # Invariant: by the number of each clone that waits, oldest first, its newest waker.
        self.waiting: OrderedDict[int, Waker] = OrderedDict()
        self.keys = 0
        self.clones = 0  # Invariant: how many have neither given their value nor been dropped
        # Invariant: one of these two is set once the future is done.
        self.value: T | Pending = PENDING
        self.error: BaseException | None = None

    def wake(self) -> None:
        """The future wants to be polled: by the oldest of those that wait."""
        self.woken = True
        self.pass_on()

    def pass_on(self) -> None:
        for waker in self.waiting.values():
            waker.wake()
            return

    def poll(self, cx: Context, future: Future[T], key: int) -> bool:
        """Poll the future for all clones, as the clone `key`; whether it is done."""
        self.woken = False
        try:
            value = cx.derive(self, self).poll(future)
        except BaseException as error:
            self.error = error
            self.traceback: TracebackType | None = traceback_of(error)
        else:
            if value is PENDING:
                return False
            self.value = value
        self.future = None
        waiting, self.waiting = self.waiting, OrderedDict()
        del waiting[key]
        wake_each(waiting.values())
        return True


@final
class Shared(FutureBase[T]):
    """One of several handles of a future. Each gives the value, or raises the error, once."""

    __slots__ = ("_hub", "_key", "_open")

    def __init__(self, hub: _Hub[T]) -> None:
        self._hub = hub
        hub.keys = self._key = hub.keys + 1
        hub.clones += 1
        self._open = True  # Invariant: True while it counts in `clones`

    def clone(self) -> Shared[T]:
        """One more handle; any task may have it, also when the value is there already.
        Raises PinError when the last handle was dropped before the value came, or has raised the
        error: that goes with it."""
        hub = self._hub
        if hub.future is None and hub.value is PENDING and hub.error is None:
            raise PinError(
                self, "cloned: its future was dropped, or its error raised, by the last handle"
            )
        return Shared(hub)

    def poll(self, cx: Context, /) -> Poll[T]:
        hub = self._hub
        future = hub.future
        if future is not None:
            hub.waiting[self._key] = cx.waker
            if not (hub.woken and hub.poll(cx, future, self._key)):
                return PENDING
        self._leave()
        error = hub.error
        if error is not None:
            set_traceback(error, hub.traceback)
            if not hub.clones:
                # Its traceback leads to who holds handles: with them it would keep itself.
                hub.error = hub.traceback = None
            try:
                raise error
            finally:
                del error, hub  # or the traceback would keep what it is part of
        return cast(T, hub.value)

    def drop(self) -> None:
        """Give this handle up; the last one drops the future."""
        hub = self._hub
        if not self._open:
            return
        self._leave()
        if not hub.clones:
            future, hub.future = hub.future, None
            if future is not None:
                drop_of(future)()

    def _leave(self) -> None:
        hub = self._hub
        if self._open:
            self._open = False
            hub.clones -= 1
        if hub.waiting.pop(self._key, None) is not None and hub.woken:
            # It may have been woken in order to poll: somebody else has to, now.
            hub.pass_on()

    def __del__(self) -> None:
        try:
            self.drop()
        except BaseException as error:
            tell_undropped(self, error)


def shared(awaitable: Awaited[T]) -> Shared[T]:
    """One future for several awaiters: ``page = shared(fetch())``, then each awaits a
    ``page.clone()`` of its own, in whatever task. All get the same object, or the same error;
    dropping the last one drops the future."""
    return Shared(_Hub(into_future(awaitable)))
