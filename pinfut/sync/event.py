"""Event: a flag that tasks wait for."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, final

from pinfut import laws
from pinfut.future import FutureBase
from pinfut.poll import Context, Poll
from pinfut.sync.waiters import NOTHING, Waiter, WaitQueue


@final
class Event:
    """``await event.wait()`` waits until the flag is set, and not at all while it is."""

    __slots__ = ("_queue", "_set")

    def __init__(self) -> None:
        self._set = False  # Invariant: nobody waits while it is set
        self._queue = WaitQueue()

    @property
    def is_set(self) -> bool:
        """Whether the flag is set."""
        return self._set

    def set(self) -> None:
        """Set the flag and let everybody go that waits, also if it is cleared again at once."""
        self._set = True
        self._queue.wake_all()

    def clear(self) -> None:
        """Clear the flag: later waits wait again."""
        self._set = False

    def wait(self) -> FutureBase[None]:
        """A future that is ready when the flag is set."""
        return _Wait(self)

    def __repr__(self) -> str:
        state = "set" if self._set else f"not set, {len(self._queue)} waiting"
        return f"<Event, {state}>"


@final
class _Wait(Waiter[None, Event]):
    __slots__ = ()

    def __await__(self) -> Generator[Any, Any, None]:
        if self.source._set and not laws.through_executor:
            return NOTHING
        return super().__await__()

    def poll(self, cx: Context, /) -> Poll[None]:
        if self.woken or self.source._set:
            self.woken = False
            return None
        return self.wait(self.source._queue, cx)

    def drop(self) -> None:
        self.woken = False
        self.source._queue.leave(self)
