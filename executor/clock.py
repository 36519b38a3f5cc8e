"""Clocks: what time it is, and how an executor with nothing to do lets it pass."""

from __future__ import annotations

import time
from typing import final

from pinfut.executor.contract import Poller


@final
class MonotonicClock:
    """Real time."""

    __slots__ = ()

    now = staticmethod(time.monotonic)

    def idle(self, poller: Poller, deadline: float | None) -> None:
        poller.park(None if deadline is None else max(0.0, deadline - time.monotonic()))


@final
class VirtualClock:
    """Time that stands still while tasks run, threads of `to_thread` too, and jumps to the next
    timer when none can and no descriptor is ready; for what comes from another process time does
    not wait."""

    __slots__ = ("_now",)

    def __init__(self, start: float = 0.0) -> None:
        self._now = start

    def now(self) -> float:
        return self._now

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass, e.g. what a simulated operation costs."""
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} s")
        self._now += seconds

    def idle(self, poller: Poller, deadline: float | None) -> None:
        # Descriptors that are ready come first; a thread at work will end, whatever the time.
        if deadline is None or poller.working:
            poller.park(None)
        elif deadline > self._now and not poller.park(0):
            self._now = deadline
