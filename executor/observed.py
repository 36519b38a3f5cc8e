"""The observed loop: `Executor._loop` with the checks of checked mode, every event told to
the instruments, and the tasks in the order of the schedule if there is one.

It decides nothing else: what a turn is, and what follows it, is as in the everyday loop, and
`tests/executor/test_two_loops.py` holds the two together.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Final, final

from pinfut import checked
from pinfut.checked import CheckedContext
from pinfut.coroutine import YIELD
from pinfut.executor.deadlock import futurelock
from pinfut.executor.ready import LOOK, TURN, mix
from pinfut.executor.schedule import Schedule
from pinfut.executor.task import Task
from pinfut.executor.trace.instrument import OUTSIDE
from pinfut.executor.trace.watched import watched
from pinfut.future import drop
from pinfut.poll import PENDING

if TYPE_CHECKING:
    from pinfut.executor.core import Executor

_SEND: Final = CoroutineType.send


_log = logging.getLogger("pinfut.executor")


def _tell_swallowed(task: Task[Any]) -> None:
    _log.warning(
        "%r was cancelled, caught that, waited for other things and returned as if nothing had "
        "come: raise CancelledError again when the clean-up is done",
        task.name,
    )


@final
class ObservedLoop:
    """The loop of an executor that is checked, watched, or has a schedule."""

    __slots__ = ("_burst", "_executor", "_take")

    def __init__(self, executor: Executor, schedule: Schedule | None) -> None:
        self._executor = executor
        # How a task is taken out of `ready`.
        self._take: Callable[[], Task[Any]] = (
            executor.ready.popleft if schedule is None else partial(schedule.take, executor.ready)
        )
        # How many futures that are ready at once the steps of this turn may still go on with.
        self._burst = TURN

    def run(self, until: Task[Any] | None) -> None:
        """Turn after turn, until the task is done; without one, until none is left."""
        executor = self._executor
        tell = executor.instruments
        steps = 0
        while True:
            count = mix(executor.high, executor.ready, executor.low)
            steps += count
            self._burst = TURN
            for _ in range(count):
                executor.current = None
                executor.current = task = self._take()
                try:
                    if executor.checked:
                        self._step_checked(task)
                    else:
                        self._step(task, None)
                except StopIteration as stop:
                    if executor.checked and watched(task).went_on:
                        _tell_swallowed(task)
                    task.finish(stop.value)
                    tell.finish(task)
                except BaseException as error:
                    executor._fail(task, error)
                    tell.finish(task)
            if self._burst <= 0:
                steps = LOOK
            executor.current = None
            if until is None:
                if not (executor.tasks or executor.deferred):
                    return
            elif until.done:
                return
            tell.cause = "call"
            executor._run_deferred()
            tell.cause = OUTSIDE
            if steps >= LOOK or not executor.ready:
                steps = 0
                executor._end_turn()
            tell.cause = OUTSIDE

    def _step_checked(self, task: Task[Any]) -> None:
        start = checked.clock()
        polls = CheckedContext(task, task)
        try:
            self._step(task, polls)
        finally:
            checked.spend(checked.clock() - start - polls.inner, "a step", task)

    def _step(self, task: Task[Any], polls: CheckedContext | None) -> None:
        """`polls`: what its leaves are polled through, in checked mode."""
        if task.done:
            return
        executor = self._executor
        tell = executor.instruments
        leaf = task._leaf
        if leaf is YIELD:
            tell.resume(task)
            leaf = task._context.run(_SEND, task._coro, None)
        task._queued = False
        while leaf is not YIELD:
            tell.poll(task, leaf)
            if polls is None:
                cx = executor._cx
                cx.waker = task
            else:
                cx = polls
            try:
                value = cx.poll(leaf)
            except BaseException as error:
                tell.resume(task)
                leaf = executor._throw(task, leaf, error)
            else:
                if value is PENDING:
                    task._leaf = leaf
                    locked = None if polls is None else futurelock(task)
                    if locked is not None:
                        task._leaf = None
                        drop(leaf)
                        tell.resume(task)
                        leaf = executor._throw(task, leaf, locked)
                        continue
                    watched(task).since = executor.clock.now()
                    watched(task).went_on = task.delivered > 0
                    tell.park(task, leaf)
                    return
                tell.resume(task)
                leaf = task._context.run(_SEND, task._coro, value)
            self._burst -= 1
            if self._burst <= 0:
                break
        task._leaf = leaf
        tell.yielded(task)
        Task.wake(task)
