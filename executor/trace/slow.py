"""SlowSteps: which step held the loop, for how long, and where.

Nothing is interrupted; a step that never ends is seen by `dump` on SIGUSR1."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple, final

from pinfut.executor.task import Task
from pinfut.executor.trace.instrument import Instrument
from pinfut.executor.trace.texts import named
from pinfut.executor.trace.watched import watched

_log = logging.getLogger("pinfut.executor")


class SlowStep(NamedTuple):
    """A step that took too long."""

    task: str
    number: int
    """The number of the task."""
    seconds: float
    poll: float
    """How much of it, in seconds, was one poll: the longest."""
    leaf: str
    """What was polled for so long."""
    start: str
    """Where the coroutine went on, as ``file:line``."""
    end: str
    """Where it waits now, or "its end"."""

    def __str__(self) -> str:
        inside = ""
        if self.poll * 2 > self.seconds:
            inside = f", {self.poll:.3f} s of it in a poll of {self.leaf}"
        return (
            f"a step of {self.task} #{self.number} took {self.seconds:.3f} s{inside}, from "
            f"{self.start} to {self.end}. Nothing else ran: await in between, or use a thread"
        )


def warn(step: SlowStep) -> None:
    """Log it as a warning of ``pinfut.executor``."""
    _log.warning("%s", step)


@final
class SlowSteps(Instrument):
    """Reports each step that took longer than `threshold` seconds of real time. `report` gets a
    `SlowStep`, after the step; it logs a warning by default. `clock`: what measures, in seconds.
    Raises ValueError for a threshold that is not above 0."""

    def __init__(
        self,
        threshold: float = 0.1,
        report: Callable[[SlowStep], object] = warn,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        if not threshold > 0:
            raise ValueError(f"a threshold is a time above 0 s, not {threshold!r}")
        self._threshold = threshold
        self._report = report
        self._clock = clock
        # The task whose step is under way, when and where it began; None between steps.
        self._task: Task[Any] | None = None
        self._began = 0.0
        self._start = ""
        # The poll that is under way, and the longest one of this step.
        self._leaf: Any = None
        self._poll_began = 0.0
        self._longest = 0.0
        self._longest_leaf = ""

    def _begin(self, task: Task[Any]) -> None:
        if self._task is None:
            self._task = task
            self._start = task.where()
            self._longest = 0.0
            self._longest_leaf = ""
            self._began = self._clock()

    def _end_poll(self, now: float) -> None:
        leaf, self._leaf = self._leaf, None
        if leaf is not None and now - self._poll_began > self._longest:
            self._longest = now - self._poll_began
            self._longest_leaf = named(leaf)

    def _end(self, task: Task[Any], where: str | None) -> None:
        if self._task is not task:
            return  # a first step, which is part of another's
        now = self._clock()
        self._end_poll(now)
        self._task = None
        seconds = now - self._began
        if seconds > self._threshold:
            self._report(
                SlowStep(
                    task.name,
                    watched(task).number,
                    seconds,
                    self._longest,
                    self._longest_leaf,
                    self._start,
                    task.where() if where is None else where,
                )
            )

    def poll(self, task: Task[Any], leaf: Any) -> None:
        self._begin(task)
        self._leaf = leaf
        self._poll_began = self._clock()

    def resume(self, task: Task[Any]) -> None:
        self._begin(task)
        if self._leaf is not None:
            self._end_poll(self._clock())

    def park(self, task: Task[Any], leaf: Any) -> None:
        self._end(task, None)

    def yielded(self, task: Task[Any]) -> None:
        self._end(task, None)

    def finish(self, task: Task[Any]) -> None:
        self._end(task, "its end")
