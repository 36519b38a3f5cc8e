"""The observed loop: `Loop.run_turns` with the checks of checked mode, every event told to
the instruments, and the entries in the order of the schedule if there is one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial
from types import CoroutineType
from typing import Any, Final, final

from pinfut import checked
from pinfut.checked import CheckedContext
from pinfut.coroutine import YIELD
from pinfut.executor.contract import Entry
from pinfut.executor.deadlock import futurelock
from pinfut.executor.loop import AllOf, Loop, Visit, keep_out_of_tracebacks
from pinfut.executor.ready import LOOK, TURN, select_batch
from pinfut.executor.schedule import Schedule
from pinfut.executor.task import OVER, Task
from pinfut.executor.trace.instrument import OUTSIDE
from pinfut.executor.trace.watched import WatchedChecks, watched
from pinfut.future import drop
from pinfut.poll import NOBODY, PENDING, Context

_SEND: Final = CoroutineType.send

_log = logging.getLogger("pinfut.executor")


@final
class ObservedLoop:
    """The loop of an executor that is checked, watched, or has a schedule."""

    __slots__ = ("_burst", "_checked", "_context", "_loop", "_take")

    def __init__(self, loop: Loop, checked: bool, schedule: Schedule | None) -> None:
        self._loop = loop
        self._checked = checked
        # What a step's futures are polled through, in checked mode.
        self._context = WatchedChecks if loop.instruments.polls else CheckedContext
        # How an entry is taken out of `ready`.
        self._take: Callable[[], Entry] = (
            loop.ready.popleft if schedule is None else partial(schedule.take, loop.ready)
        )
        # How many futures that are ready at once the steps of this turn may still go on with.
        self._burst = TURN

    def run_turns(self, until: Task[Any] | AllOf | Visit, most: int = TURN) -> int:
        """As `Loop.run_turns`."""
        loop = self._loop
        tell = loop.instruments
        steps = 0
        task: Entry | None = None
        while True:
            count = select_batch(loop.high, loop.ready, loop.low, most)
            steps += count
            self._burst = TURN
            if count:
                tell.turn(count)
            for _ in range(count):
                loop.current = None
                task = self._take()
                if not isinstance(task, Task):
                    self._run_entry(task)
                    continue
                loop.current = task
                try:
                    if self._checked:
                        self._step_checked(task)
                    else:
                        self._step(task, None)
                except StopIteration as stop:
                    if self._checked and watched(task).went_on:
                        _log.warning(
                            "%r was cancelled, caught that, waited for other things and returned "
                            "as if nothing had come: raise CancelledError again after the clean-up",
                            task.name,
                        )
                    task.finish(stop.value)
                    tell.finish(task)
                except BaseException as error:
                    loop.fail_step(task, error)
                    tell.finish(task)
            if self._burst <= 0:
                steps = max(steps, LOOK)
                loop.went_on = True
            loop.current = task = None
            if until.done:
                del until  # as in `Loop.run_turns`
                return steps
            steps = loop.after_turn(steps)

    def _run_entry(self, entry: Entry) -> None:
        """The step of an entry that is no task: no law is about it, but the time it takes."""
        loop = self._loop
        tell = loop.instruments
        start = checked.clock()
        entry.queued = False
        loop.cx.waker = entry
        tell.cause = entry.name
        loop.current = None
        try:
            tell.ran(entry)
            try:
                entry.leaf.poll(loop.cx)
            except BaseException as error:
                loop.throw_into(entry, entry.leaf, error)
            finally:
                loop.cx.waker = NOBODY
        except BaseException as error:
            loop.fail_step(entry, error)
        finally:
            tell.cause = OUTSIDE
            if self._checked:
                checked.spend(checked.clock() - start, "a step", entry)
            del entry  # the error of a coroutine that it ran has this frame below its own

    def _step_checked(self, task: Task[Any]) -> None:
        start = checked.clock()
        polls = self._context(task, task)
        try:
            self._step(task, polls)
        finally:
            checked.spend(checked.clock() - start - polls.inner, "a step", task)
            del task, polls  # as in `_step`

    def _step(self, task: Task[Any], polls: CheckedContext | None) -> None:
        """`polls`: what its leaves are polled through, in checked mode."""
        leaf = task.leaf
        if leaf is OVER:
            return  # done, or closed for good
        loop = self._loop
        tell = loop.instruments
        if leaf is YIELD:
            tell.resume(task)
            leaf = task._context.run(_SEND, task._coro, None)
        task.queued = False
        while leaf is not YIELD:
            tell.poll(task, leaf)
            if polls is None:
                cx: Context = loop.cx
                cx.waker = task
            else:
                cx = polls
            try:
                try:
                    value = cx.poll(leaf)
                finally:
                    loop.cx.waker = NOBODY
            except BaseException as error:
                tell.resume(task)
                leaf = loop.throw_into(task, leaf, error)
            else:
                if value is PENDING:
                    task.leaf = leaf
                    locked = None if polls is None else futurelock(task)
                    if locked is not None:
                        tell.law(locked)
                        task.leaf = None
                        drop(leaf)
                        tell.resume(task)
                        leaf = loop.throw_into(task, leaf, locked)
                        continue
                    watched(task).since = loop.clock.now()
                    watched(task).went_on = task.cancels > 0
                    tell.park(task, leaf)
                    # An error that a poll has raised knows this frame, as long as it is kept.
                    del task, polls, leaf, cx
                    return
                tell.resume(task)
                leaf = task._context.run(_SEND, task._coro, value)
            self._burst -= 1
            if self._burst <= 0:
                break
        task.leaf = leaf
        tell.yielded(task)
        Task.wake(task)
        del task, polls, leaf  # as above


keep_out_of_tracebacks(ObservedLoop.run_turns)
