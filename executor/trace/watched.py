"""What a watched executor has in place of plain tasks, timers and contexts, which have no hook."""

from __future__ import annotations

from threading import get_ident
from typing import Any, ClassVar, TypeVar, cast, final

from pinfut.checked import CheckedContext
from pinfut.coroutine import Interrupt
from pinfut.executor.contract import Runner, Timer
from pinfut.executor.current import running
from pinfut.executor.task import OVER, Task
from pinfut.executor.timers import Call, Timers
from pinfut.executor.trace.instrument import OUTSIDE, Instruments
from pinfut.laws import ForeignWake
from pinfut.places import calling_frame
from pinfut.poll import Context, Future, Poll, TaskContext

T = TypeVar("T")


class WatchedTask(Task[T]):
    """A task that knows its number and its parent, and tells when it is woken."""

    __slots__ = ("number", "parent", "since", "spawned_at", "went_on")

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        tell = cast(Instruments, self.executor.instruments)
        tell.spawned += 1
        self.number = tell.spawned  # counts up from 1 in the order of spawning
        # Of the task that spawned it, 0 for none: a task must not keep its ancestors alive.
        current = self.executor.current
        self.parent = 0 if current is None else cast("WatchedTask[Any]", current).number
        frame = calling_frame()
        self.spawned_at = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        # When it was last parked, by the executor's clock; None before.
        self.since: float | None = None
        # Whether it has waited for something after a cancel had reached it.
        self.went_on = False

    def wake(self) -> None:
        executor = self.executor
        if executor.checked and executor.thread not in (0, get_ident()):
            if executor.poller is not None:
                # Who wakes has changed its state by now, and will not wake this task again.
                executor.poller.hand_over(self.wake)
            raise ForeignWake(
                f"{self!r} was woken by another thread than its executor's, which may sleep on "
                "and not see it. Make a RemoteWaker(cx.waker) in the poll; it may be called "
                "from anywhere"
            )
        tell = cast(Instruments, executor.instruments)
        if not self.queued:
            tell.wake(self, _cause(executor))
        elif not self.done:
            tell.merged(self, _cause(executor))
        super().wake()

    def interrupt(self) -> None:
        if type(self.leaf) is not Interrupt and self.leaf is not OVER:
            executor = self.executor
            cast(Instruments, executor.instruments).cancel(self, _cause(executor))
        super().interrupt()


def watched(task: Task[Any]) -> WatchedTask[Any]:
    """`task` as what it is in a watched executor."""
    return cast("WatchedTask[Any]", task)


def _cause(executor: Runner) -> Task[Any] | str:
    """What runs here: a task's step, or what else there is."""
    if executor.current is not None:
        return cast("Task[Any]", executor.current)
    if executor.first is not None:
        return f"first step of {executor.first[0].__qualname__}"
    tell = cast(Instruments, executor.instruments)
    if tell.call is None:
        return tell.cause
    name = getattr(tell.call, "__qualname__", type(tell.call).__qualname__)
    return f"{tell.cause} {name.rpartition('<locals>.')[2]}"


class _Watched(Context):
    """A context that tells of each poll made through it, and of what that gave."""

    __slots__ = ()

    def poll(self, future: Future[T]) -> Poll[T]:
        if running.executor is None:
            return super().poll(future)  # it was kept, which checked mode says
        tell = cast(Instruments, running.executor.instruments)
        tell.asked(future)
        try:
            value = super().poll(future)
        except BaseException as error:
            tell.answered(future, None, error)
            del self, future  # the traceback may live for long
            raise
        tell.answered(future, value, None)
        return value


@final
class WatchedContext(_Watched, TaskContext):
    """The context of an executor that is watched."""

    __slots__ = ()


@final
class WatchedChecks(_Watched, CheckedContext):
    """As WatchedContext, in checked mode."""

    __slots__ = ()


@final
class _WatchedTimer:
    """Stands in the heap for a timer, and tells when it expires."""

    __slots__ = ("deadline", "live", "number", "timer", "timers")

    def __init__(self, timers: WatchedTimers, timer: Timer, number: int, deadline: float) -> None:
        self.timers = timers
        self.timer = timer
        self.number = number
        self.deadline = deadline
        self.live = False

    def expire(self) -> None:
        self.timers.expire(self)


class WatchedTimers(Timers):
    """Timers that tell when one is set, fires, or is cancelled."""

    __slots__ = ("_count", "_tell", "_watched")

    references: ClassVar[int] = 2  # one in `_watched`, one in the _WatchedTimer

    def __init__(self, tell: Instruments) -> None:
        super().__init__()
        self._tell = tell
        self._count = 0
        # Invariant: what stands for each timer that is live.
        self._watched: dict[Timer, _WatchedTimer] = {}

    def push(self, deadline: float, timer: Timer) -> None:
        self._count = number = self._count + 1
        timer.live = True
        self._watched[timer] = watched = _WatchedTimer(self, timer, number, deadline)
        self._tell.timer(number, "set", deadline)
        super().push(deadline, watched)

    def cancel(self, timer: Timer) -> None:
        if timer.live:
            timer.live = False
            if type(timer) is Call:
                timer.forget()
            watched = self._watched.pop(timer)
            self._tell.timer(watched.number, "cancelled", watched.deadline)
            super().cancel(watched)

    def expire(self, watched: _WatchedTimer) -> None:
        """A timer has expired: tell so, then let it act."""
        timer, tell = watched.timer, self._tell
        del self._watched[timer]
        timer.live = False
        tell.timer(watched.number, "fired", watched.deadline)
        tell.cause = f"timer {watched.number}"
        timer.expire()
        tell.cause = OUTSIDE
