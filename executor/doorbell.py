"""Doorbells: how a host learns that something became ready between two turns (docs/hosting.md).

What comes then (a host's callback that wakes, spawns, puts a call off or sets a timer) rings: once,
until the next turn has begun. Descriptors and other threads make `Executor.fileno` readable. What
rings is of classes of its own, so that an executor that nobody hosts has no test for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, Final, final

from pinfut.executor.contract import Runner, Timer
from pinfut.executor.current import report_call
from pinfut.executor.ready import ReadyQueue, require_own_thread
from pinfut.executor.timers import Timers
from pinfut.executor.trace.watched import WatchedTimers
from pinfut.stack import require_stack

_STACK: Final = 24
"""Frames that a ring takes at most, as far as the host's callback is a modest one."""


@final
class Doorbell:
    """Rings the host once for all that comes between two turns, in the executor's own thread."""

    __slots__ = ("_ring", "_runner", "listening")

    def __init__(self, runner: Runner, ring: Callable[[], object]) -> None:
        self._runner = runner
        self._ring = ring
        # Invariant: True from the end of a turn to the first ring after it that was heard.
        self.listening = True

    def require_stack(self) -> None:
        """Raise RecursionError where there is not enough left for a ring."""
        if self.listening:
            require_stack(_STACK)

    def ring(self, what: object) -> None:
        """`what` became ready. An error of the host's callback is reported, and what became
        ready next rings again. Raises ForeignWake in another thread."""
        if self.listening:
            require_own_thread(self._runner, what)
            self.listening = False
            try:
                self._ring()
            except BaseException as error:
                self.listening = True
                report_call(self._ring, error)


class _Rings:
    """What tells its host of each thing that is put there between turns."""

    __slots__ = ()

    bell: Doorbell

    def append(self, entry: Any, /) -> None:
        self.bell.require_stack()
        super().append(entry)  # type: ignore[misc]  # of the queue that it is mixed into
        self.bell.ring(entry[0] if type(entry) is tuple else entry)

    def push(self, deadline: float, timer: Timer) -> None:
        self.bell.require_stack()
        super().push(deadline, timer)  # type: ignore[misc]  # of the Timers, likewise
        self.bell.ring(timer)


@final
class RingingReadyQueue(_Rings, ReadyQueue):
    """A `ReadyQueue` that rings."""

    __slots__ = ("bell",)


@final
class RingingCalls(_Rings, deque[Any]):
    """The calls for the end of a turn: one that is put off between turns wants one."""

    __slots__ = ("bell",)


@final
class RingingTimers(_Rings, Timers):
    """`Timers` that ring."""

    __slots__ = ("bell",)


@final
class RingingWatchedTimers(_Rings, WatchedTimers):
    """`WatchedTimers` that ring."""

    __slots__ = ("bell",)
