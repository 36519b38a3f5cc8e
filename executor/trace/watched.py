"""What a watched executor uses in place of the plain task and timers.

The plain ones have no hook. These know who made them, and say what happens to them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast, final

from pinfut.executor.task import Task
from pinfut.executor.timers import Timer, Timers
from pinfut.executor.trace.instrument import Instruments

T = TypeVar("T")


class WatchedTask(Task[T]):
    """A task that knows its number and its parent, and tells when it is woken."""

    __slots__ = ("number", "parent", "since", "spawned_at")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        tell = self.executor.instruments
        tell.spawned += 1
        # Counts up from 1 in the order of spawning.
        self.number = tell.spawned
        # The number of the task that spawned it, 0 for none. No reference: a task must not
        # keep its ancestors alive.
        current = self.executor.current
        self.parent = 0 if current is None else watched(current).number
        self.spawned_at = _caller()
        # When it was last parked, by the executor's clock; None before.
        self.since: float | None = None

    def wake(self) -> None:
        if not self._queued:
            executor = self.executor
            tell = executor.instruments
            tell.wake(self, executor.current or tell.cause)
        super().wake()


def watched(task: Task[Any]) -> WatchedTask[Any]:
    """`task` as what it is in a watched executor."""
    return cast("WatchedTask[Any]", task)


def _caller() -> str:
    """The innermost frame that is not the house's own, as ``file:line``."""
    frame = sys._getframe(1)
    while frame.f_globals.get("__name__", "").startswith("pinfut."):
        if frame.f_back is None:
            return "an unknown place"
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}"


@final
class _Call:
    """What a watched timer calls: it tells that it has fired, then makes the call."""

    __slots__ = ("call", "deadline", "number", "tell")

    def __init__(
        self, call: Callable[[], None], number: int, deadline: float, tell: Instruments
    ) -> None:
        self.call = call
        self.number = number
        self.deadline = deadline
        self.tell = tell

    def __call__(self) -> None:
        tell = self.tell
        tell.timer(self.number, "fired", self.deadline)
        tell.cause = f"timer {self.number}"  # until the executor goes on
        self.call()


class WatchedTimers(Timers):
    """Timers that tell when one is set, fires, or is cancelled."""

    __slots__ = ("_count", "_tell")

    def __init__(self, tell: Instruments) -> None:
        super().__init__()
        self._tell = tell
        self._count = 0

    def add(self, deadline: float, call: Callable[[], None]) -> Timer:
        self._count = number = self._count + 1
        self._tell.timer(number, "set", deadline)
        return super().add(deadline, _Call(call, number, deadline, self._tell))

    def cancel(self, timer: Timer) -> None:
        call = timer.call
        if isinstance(call, _Call):
            self._tell.timer(call.number, "cancelled", call.deadline)
        super().cancel(timer)
