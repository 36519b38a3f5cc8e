"""Loop: the state of a turn, and the everyday loop, which has no test for anybody who watches.

A turn runs the entries that were ready when it began, each once and the urgent first, up to TURN of
them; then the calls that were put off to its end; then, every LOOK steps and whenever nothing is
ready, timers and descriptors. `pinfut.executor.observed` is the loop of those who watch."""

from __future__ import annotations

import logging
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable
from types import CoroutineType
from typing import Any, Final, cast, final

from pinfut.checked import CheckedContext
from pinfut.closing import ENDS_THE_RUN, set_traceback, tell, traceback_of
from pinfut.core import accelerate
from pinfut.coroutine import YIELD, not_a_future
from pinfut.executor.contract import (
    Clock,
    Entry,
    FirstStep,
    JoinHandle,
    Owner,
    Poller,
    Runner,
    TimerQueue,
)
from pinfut.executor.current import report_call
from pinfut.executor.deadlock import deadlock
from pinfut.executor.ready import LOOK, TURN, ReadyQueue, select_batch
from pinfut.executor.task import NOT_DONE, Task
from pinfut.executor.trace.instrument import OUTSIDE, Instruments
from pinfut.executor.trace.watched import WatchedContext
from pinfut.poll import NOBODY, PENDING, Context, TaskContext
from pinfut.tables import tidied

_ROUNDS: Final = 4

_SEND: Final = CoroutineType.send
_THROW: Final = CoroutineType.throw

_log = logging.getLogger("pinfut.executor")


@final
class AllOf:
    """In place of a task to run until: it is done when all of `tasks` are."""

    __slots__ = ("_left",)

    def __init__(self, tasks: Iterable[Task[Any]]) -> None:
        self._left = list(tasks)

    @property
    def done(self) -> bool:
        left = self._left
        while left and left[-1].done:
            left.pop()
        return not left

    @property
    def _outcome(self) -> object:
        return None if self.done else NOT_DONE


ONE_TURN: Final = AllOf(())
"""It is done already, so the loop makes one turn."""


@final
class Visit:
    """Run until nobody is ready, or before a turn that might take more steps than are left."""

    __slots__ = ("_loop", "left")

    def __init__(self, loop: Loop, steps: int) -> None:
        self._loop = loop
        self.left = steps  # how many steps may be made after the present turn

    def begin(self) -> int:
        """Count off the first turn, for 1 step at least; how many steps a turn may take."""
        loop = self._loop
        most = self.left if self.left < TURN else TURN
        count = len(loop.ready) or 1
        if loop.high or loop.low or count > most:
            count = min(most, count + len(loop.high) + len(loop.low))
        self.left -= count
        return most

    @property
    def done(self) -> bool:
        """Whether there is no next turn. One is counted off if there is."""
        return self._outcome is None

    @property
    def _outcome(self) -> object:
        loop = self._loop
        if loop.went_on:
            loop.went_on = False
            self.left -= LOOK
        count = len(loop.ready)
        if not count or count > self.left or loop.high or loop.low:
            return None
        self.left -= count
        return NOT_DONE


class Loop:
    """What a turn needs. The executor adds how tasks come to be and how a run begins and ends."""

    __slots__ = (
        "clean_ups_end", "clock", "current", "cx", "deferred", "ending", "first", "high",
        "instruments", "low", "poller", "ready", "tasks", "thread", "timers", "went_on",
    )  # fmt: skip

    clock: Clock
    clean_ups_end: float
    timers: TimerQueue
    instruments: Instruments
    # Invariant: each ready entry once; in `ready` also others, for the turn in which they run.
    ready: ReadyQueue
    high: ReadyQueue
    low: ReadyQueue
    # Calls for the end of the turn, oldest first.
    deferred: deque[tuple[Callable[..., object], tuple[Any, ...]]]

    def __init__(self) -> None:
        # Invariant: every task that is not done, in the order of spawning; who hears of its end.
        self.tasks: dict[Any, Owner | None] = {}
        # What these are says `contract.Runner`.
        self.current: JoinHandle[Any] | None = None
        self.first: FirstStep | None = None
        self.ending = False
        self.poller: Poller | None = None
        self.thread = 0
        # Whether a turn had a step that went on with TURN futures; a visit looks, and clears it.
        self.went_on = False
        # One Context for every poll. Invariant: its waker is NOBODY between polls.
        self.cx = TaskContext()

    def clear_step(self) -> None:
        """No step is under way here any more, also when what ends a program was raised in one."""
        self.current = None
        self.first = None
        self.cx.waker = NOBODY
        self.instruments.cause = OUTSIDE
        self.instruments.call = None

    def run_turns(self, until: Task[Any] | AllOf | Visit, most: int = TURN, /) -> int:
        """Turn after turn of at most `most` steps, until `until` is done; with ONE_TURN the steps
        of one turn alone. How many steps since the last look; LOOK at least, where steps went on
        with TURN futures."""
        ready, high, low = self.ready, self.high, self.low
        popleft = ready.popleft
        deferred = self.deferred
        pop_deferred = deferred.popleft
        cx = self.cx
        # Locals cost less than globals, and `send` called with the coroutine less than bound.
        again, pending, send, throw = YIELD, PENDING, _SEND, self.throw_into
        nobody = NOBODY
        steps = 0
        task: Any = None
        leaf: Any = None
        while True:
            count = len(ready)
            if high or low or count > most:
                count = select_batch(high, ready, low, most)
            steps += count
            burst = TURN
            # Counted down by hand: a turn of one task is common, and a range costs more.
            while count:
                count -= 1
                self.current = task = popleft()
                leaf = task.leaf
                try:
                    if leaf is again:
                        leaf = task._context.run(send, task._coro, None)
                        if leaf is again:
                            task._queue.append(task)
                            continue
                    task.queued = False
                    while True:
                        cx.waker = task
                        try:
                            value = leaf.poll(cx)
                        except BaseException as error:
                            cx.waker = nobody
                            leaf = throw(task, leaf, error)
                        else:
                            cx.waker = nobody
                            if value is pending:
                                task.leaf = leaf
                                break
                            leaf = task._context.run(send, task._coro, value)
                            value = None  # the loop must not keep what the task may let go
                        burst -= 1
                        if leaf is again or burst <= 0:
                            if burst <= 0:
                                steps = max(steps, LOOK)
                                self.went_on = True
                            task.leaf = leaf
                            task.wake()
                            break
                except StopIteration as stop:
                    task.finish(stop.value)
                except BaseException as error:
                    self.fail_step(task, error)
            # Nor who has run, and what it waited for.
            self.current = task = leaf = None
            # From here as `after_turn`, but without a call where nothing is to do.
            if until._outcome is not NOT_DONE:
                del until  # the frame of a coroutine that has failed has this frame behind it
                return steps
            if deferred:
                count = 2 * len(deferred)  # a flush has something delivered
                while count and deferred:
                    count -= 1
                    call, args = pop_deferred()
                    try:
                        call(*args)
                    except BaseException as error:
                        report_call(call, error)
                del call, args  # the loop must not keep what they are of
                if deferred:
                    self.run_deferred()
            if steps >= LOOK or not ready:
                steps = 0
                self.look()

    def run_deferred(self) -> None:
        """Make the calls that were put off to the end of the turn: in rounds, for a flush may have
        something delivered, and not many, for calls may put themselves off again."""
        deferred = self.deferred
        tell = self.instruments
        tell.cause = "call"
        for _ in range(_ROUNDS):
            for _ in range(len(deferred)):
                call, args = deferred.popleft()
                tell.call = call
                try:
                    call(*args)
                except BaseException as error:
                    report_call(call, error)
                tell.call = None
                del call, args
            if not deferred:
                break
        tell.cause = OUTSIDE

    def after_turn(self, steps: int) -> int:
        """The calls, and a look if it is time; how many `steps` there are since that."""
        self.run_deferred()
        if steps < LOOK and self.ready:
            return steps
        self.look()
        return 0

    def tidy(self) -> None:
        """As `contract.Runner` says."""
        self.tasks = tidied(self.tasks)

    def report(self, name: str, error: BaseException) -> None:
        """Tell of an error that nobody waits for: logged with its traceback."""
        self.instruments.report(name, error)
        tell(_log.error, error, "%r failed and nobody awaited it", name)

    def look(self, timeout: float | None = None) -> None:
        """Fire the timers that are due, look at the descriptors, and sleep when nobody is ready,
        until something comes or `timeout` seconds are over. Raises LostWakeup when nothing can
        come, without a `timeout`."""
        timers: Any = self.timers
        poller: Any = self.poller  # not a `cast`, which is a call
        ready, high, low = self.ready, self.high, self.low
        deadline = timers.next_deadline()
        comes = poller.external or poller.notified
        if ready or self.deferred or high or low or timeout == 0:
            if deadline is not None and deadline <= self.clock.now():
                timers.fire(self.clock.now())
            if comes or timeout is not None:
                poller.park(0)
            return
        if timeout is not None:
            latest = self.clock.now() + timeout
            if deadline is None or deadline > latest:
                deadline = latest
        threads = poller.threads
        if deadline is None and not (comes and (threads is None or not threads.stuck)):
            if self.tasks:
                lost = deadlock(cast(Runner, self))
                self.instruments.law(lost)
                raise lost
            return
        if deadline is None or deadline > self.clock.now():
            # A wake of another thread's is seen from here on: it is refused, and ends the sleep.
            ready.asleep = high.asleep = low.asleep = True
            try:
                if not (ready or high or low):
                    self.clock.idle(poller, deadline)
            finally:
                ready.asleep = high.asleep = low.asleep = False
        elif comes or timeout is not None:
            poller.park(0)
        if deadline is not None:
            timers.fire(self.clock.now())

    def throw_into(self, task: Entry, leaf: Any, error: BaseException) -> Any:
        """Raise the error of a poll inside the coroutine; what it waits for next."""
        if not isinstance(task, Task):
            # It ends at the entry, in `fail_step`. A StopIteration would look like a result.
            if issubclass(type(error), StopIteration):
                raise RuntimeError(f"{task.name} raised StopIteration") from error
            raise error
        if type(error) is AttributeError and not hasattr(leaf, "poll"):
            error = not_a_future(leaf)
        else:
            _strip(error)
        try:
            return task._context.run(_THROW, task._coro, error)
        finally:
            del error  # or the traceback that it gets here would keep it alive

    def fail_step(self, task: Entry, error: BaseException) -> None:
        """The step of `task` has raised: that is its end. Raises what ends the run."""
        _strip(error)
        ends = type(error) is not CancelledError and issubclass(type(error), ENDS_THE_RUN)
        if ends and isinstance(task, Task) and task._coro.cr_frame is not None:
            # Ctrl-C came in the middle of the executor's own work: the coroutine waits yet.
            task.abandon()
        try:
            task.fail(error)
        except BaseException as other:
            report_call(task.fail, other)
        if ends:
            raise error


# Globals of what stands between executor and poll; first that of the other loop, if any.
_own_namespaces = [
    Loop.run_turns.__globals__,
    WatchedContext.poll.__globals__,
    Loop.run_turns.__globals__,
    CheckedContext.poll.__globals__,
    Context.poll.__globals__,
]


def keep_out_of_tracebacks(function: Callable[..., object]) -> None:
    """`function` is the other loop: `_strip` takes the frames of its file off tracebacks, too."""
    _own_namespaces[0] = function.__globals__


def _strip(error: BaseException) -> None:
    """Take the executor's own frames off a traceback: their locals would keep the task
    alive, and the task the error. Those that have ended are emptied too, for the frames
    that they called still know them (since Python 3.12 that of a coroutine, too)."""
    # One by one, for this is the path of every cancel.
    plain = type(error) is CancelledError
    traceback = error.__traceback__ if plain else traceback_of(error)
    other, watched, own, checks, poll = _own_namespaces
    caught = True  # the first frame is the one that has caught it, and is running
    while traceback is not None:
        frame = traceback.tb_frame
        namespace = frame.f_globals
        if (
            namespace is not own
            and namespace is not other
            and namespace is not checks
            and namespace is not poll
            and namespace is not watched
        ):
            break
        if caught:
            caught = False
        else:
            try:
                frame.clear()
            except RuntimeError:
                pass  # it is running, and caught this error before
        traceback = traceback.tb_next
    set_traceback(error, traceback)


accelerate(globals())
