"""The executor: who is polled, and when.

A turn runs the tasks that were ready when it began, each once and the urgent first, up to
TURN of them; then the calls that were put off to its end (that is where sessions flush);
then, every LOOK steps and whenever nothing is ready, the timers that are due and the
descriptors. When nothing is ready it sleeps until something of that comes.

Two loops do the same: `_loop` for every day, and `ObservedLoop` with checked mode and
instruments. The first has no test for either. How a turn is shared among priorities says
`mix`, and what Ctrl-C does says `CtrlC`.
"""

from __future__ import annotations

import logging
import weakref
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextvars import Context as ContextVars
from contextvars import copy_context
from types import CoroutineType
from typing import Any, Final, TypeVar, cast, final

from pinfut import laws
from pinfut.checked import CheckedContext
from pinfut.coroutine import YIELD, native, not_a_future
from pinfut.executor.clock import Clock, MonotonicClock, VirtualClock
from pinfut.executor.current import NoExecutor, running
from pinfut.executor.deadlock import deadlock
from pinfut.executor.interrupt import CtrlC
from pinfut.executor.observed import ObservedLoop
from pinfut.executor.reactor import Reactor
from pinfut.executor.ready import LOOK, TURN, Priority, Ready, mix
from pinfut.executor.schedule import Schedule, Seeded
from pinfut.executor.task import NOT_DONE, Owner, Task, Unclaimed
from pinfut.executor.timers import Timers
from pinfut.executor.trace.dump import dump, dump_on_signal
from pinfut.executor.trace.instrument import Instrument, Instruments
from pinfut.executor.trace.watched import WatchedTask, WatchedTimers
from pinfut.laws import LostWakeup, ReenteredExecutor, checked_by_default
from pinfut.poll import PENDING, Context

T = TypeVar("T")

_ROUNDS: Final = 4

_ENDS_THE_RUN: Final = (KeyboardInterrupt, SystemExit)

_SEND: Final = CoroutineType.send
_THROW: Final = CoroutineType.throw

_log = logging.getLogger("pinfut.executor")


class _NoWaker:
    def wake(self) -> None:
        raise AssertionError("a Context was used outside of a poll")


@final
class Executor:
    """Runs tasks in one thread. Use `run`; make one yourself to keep hold of it."""

    __slots__ = (
        "_cx",
        "_dump_on_signal",
        "_failures",
        "_observed",
        "_task_type",
        "checked",
        "clock",
        "current",
        "deferred",
        "external",
        "first",
        "high",
        "instruments",
        "low",
        "reactor",
        "ready",
        "tasks",
        "timers",
    )

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        checked: bool | None = None,
        instruments: Iterable[Instrument] = (),
        schedule: Schedule | None = None,
        dump_on_signal: bool | None = None,
    ) -> None:
        self.clock: Clock = MonotonicClock() if clock is None else clock
        self.checked = checked_by_default() if checked is None else checked
        self.instruments = Instruments(instruments)
        # Invariant: the three hold each task that is ready exactly once, and no other. In
        # `ready` are those of normal priority, and others for the turn in which they run.
        self.ready = Ready(self, "normal")
        self.high = Ready(self, "high")
        self.low = Ready(self, "low")
        # Invariant: every task that is not done, so that none is lost to the collector.
        # With each, who is told of its end. Its order is that of spawning, in every run.
        self.tasks: dict[Task[Any], Owner | None] = {}
        self._task_type: type[Task[Any]] = Task
        self.timers = Timers()
        # The loop that runs in place of the everyday one; None when nothing asks for it.
        self._observed: ObservedLoop | None = None
        if self.checked or self.instruments or schedule is not None:
            self._observed = ObservedLoop(self, schedule)
            self._task_type = WatchedTask
            self.timers = WatchedTimers(self.instruments)
        # None: as the environment says.
        self._dump_on_signal = dump_on_signal
        # The task whose step is running; None between the steps.
        self.current: Task[Any] | None = None
        # How many wakes may still come from outside (threads, descriptors): while it is
        # zero, a sleep without a timer would be for ever.
        self.external = 0
        # The coroutine whose first step is running inside another's, and what it needs
        # to become a task.
        self.first: tuple[CoroutineType[Any, Any, Any], ContextVars, Owner] | None = None
        self._cx = Context(_NoWaker())
        # Calls for the end of the turn, oldest first.
        self.deferred: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        self._failures: weakref.WeakSet[Unclaimed] = weakref.WeakSet()
        # While `run` is under way.
        self.reactor: Reactor | None = None
        self.instruments.attach(self)

    # ---- what tasks use ----

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        priority: Priority = "normal",
        owner: Owner | None = None,
    ) -> Task[T]:
        """Start `coro` as a task; it runs for the first time in the next turn.

        It gets a copy of the caller's context variables; `priority` is its own, and not its
        children's. `owner` is told when it ends. Raises TypeError for anything but a
        coroutine, and ValueError (and closes `coro`) for a priority that is none.
        """
        if type(coro) is not CoroutineType:
            coro = native(coro)
        if priority == "normal":
            queue = self.ready
        else:
            try:
                queue = self._queue(priority)
            except ValueError:
                coro.close()
                raise
        if name is not None:
            coro.__qualname__ = name
        task = self._task_type(queue, coro, copy_context())
        self.tasks[task] = owner
        queue.append(task)
        if self._observed is not None:
            self.instruments.spawn(task)
        return task

    def _queue(self, priority: Priority) -> Ready:
        for queue in (self.high, self.ready, self.low):
            if queue.priority == priority:
                return queue
        raise ValueError(f"a priority is 'high', 'normal' or 'low', not {priority!r}")

    # ---- first steps ----
    #
    # A server runs the first step of a handler inside its own step; a handler that ends in
    # it costs no task. Between `begin_inline` and `end_inline` no task is current; the one
    # whose coroutine stands in `first` is made when somebody asks for it, or when the step
    # ends before the coroutine does.

    def begin_inline(self) -> tuple[Task[Any] | None, Any]:
        """From here on first steps are run inside the present step; what `end_inline` takes."""
        outer = self.current
        self.current = None
        if outer is None:
            return None, None
        leaf, outer._leaf = outer._leaf, None
        return outer, leaf

    def end_inline(self, outside: tuple[Task[Any] | None, Any]) -> None:
        """Back to the task that was current before."""
        self.first = None
        self.current, leaf = outside
        if self.current is not None:
            self.current._leaf = leaf

    def materialise(self) -> Task[Any]:
        """The task of the coroutine in `first`. Raises NoExecutor when there is none."""
        if self.first is None:
            raise NoExecutor("no task is running here; call this from inside a coroutine")
        coro, context, owner = self.first
        self.current = task = self._task_type(self.ready, coro, context)
        self.tasks[task] = owner
        if self._observed is not None:
            self.instruments.spawn(task)
        return task

    def adopt(self, leaf: Any) -> Task[Any]:
        """The first step has ended and the coroutine waits for `leaf`: its task goes on."""
        task = self.current or self.materialise()
        self.current = self.first = None
        task._leaf = leaf
        self.ready.append(task)
        return task

    def end_first(self, value: object, error: BaseException | None) -> None:
        """The coroutine in `first` is over and its task had been asked for. Its owner has
        the outcome from the step itself, and is not told again."""
        task = self.current
        self.current = self.first = None
        if task is not None:
            self.tasks[task] = None
            if error is None:
                task.finish(value)
            else:
                task.fail(error)
                task.error()
            if self._observed is not None:
                self.instruments.finish(task)

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call(*args)`` run when this turn ends, after the tasks that are ready."""
        self.deferred.append((call, args))

    def now(self) -> float:
        """The time of this executor's clock, in seconds."""
        return self.clock.now()

    def report(self, name: str, error: BaseException) -> None:
        """Tell of an error that nobody waits for: logged with its traceback."""
        self.instruments.report(name, error)
        _log.error("%r failed and nobody awaited it", name, exc_info=error)

    def dump(self) -> str:
        """Every task, what it is parked on and where, who spawned it: a tree, for people.

        Callable at any time and from a signal handler. Who spawned whom and since when it
        is parked is known of a watched executor; of another only what costs nothing.
        """
        return dump(self)

    def failed(self, error: Unclaimed) -> None:
        """Remember an error until somebody claims it. For tasks."""
        self._failures.add(error)

    # ---- running ----

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` and whatever it spawns; its result, or its error.

        When `main` ends, tasks that are left are cancelled and waited for. Ctrl-C cancels
        `main` and raises KeyboardInterrupt once it has ended; pressed again it does so at
        once. Raises ReenteredExecutor inside a running executor, and LostWakeup when
        everybody is parked and nobody is left to wake them.
        """
        if not hasattr(main, "close") or not hasattr(main, "send"):
            raise TypeError(f"run takes a coroutine, not {main!r}: run(main()), with main async")
        if running.executor is not None:
            main.close()
            current = running.executor.current
            where = "" if current is None else f", in task {current.name!r} at {current.where()}"
            raise ReenteredExecutor(
                f"{main!r} cannot be run here: an executor runs in this thread already{where}. "
                "Make its function async and await the coroutine, or spawn it"
            )
        try:
            quiet = dump_on_signal(self, self._dump_on_signal)
        except RuntimeError:
            main.close()
            raise
        running.executor = self
        laws.running += self.checked
        laws.recording = laws.recording or self.checked
        self.reactor = Reactor(self)
        ctrl_c = CtrlC(self)
        ctrl_c.take_over()
        try:
            task = ctrl_c.main = self.spawn(main, name="main")
            try:
                self._loop(task)
            finally:
                self._cancel_all()
            if ctrl_c.pressed and isinstance(task.error(), CancelledError | None):
                raise KeyboardInterrupt
            return cast(T, task.result())
        finally:
            quiet()
            ctrl_c.give_back()
            self._cx.waker = _NoWaker()
            self.reactor.close()
            self.reactor = None
            running.executor = None
            laws.running -= self.checked
            for failure in list(self._failures):
                failure.report()

    def _loop(self, until: Task[Any] | None) -> None:
        """Turn after turn, until the task is done; without one, until none is left."""
        if self._observed is not None:
            self._observed.run(until)
            return
        ready, high, low = self.ready, self.high, self.low
        popleft = ready.popleft
        deferred = self.deferred
        pop_deferred = deferred.popleft
        tasks = self.tasks
        cx = self._cx
        # Locals cost less than globals, and `send` called with the coroutine less than bound.
        again, pending, send, throw = YIELD, PENDING, _SEND, self._throw
        steps = 0
        while True:
            count = len(ready)
            if high or low or count > TURN:
                count = mix(high, ready, low)
            steps += count
            burst = TURN
            # Counted down by hand: a turn of one task is common, and a range costs more.
            while count:
                count -= 1
                self.current = task = popleft()
                leaf = task._leaf
                try:
                    if leaf is again:
                        leaf = task._context.run(send, task._coro, None)
                        if leaf is again:
                            task._queue.append(task)
                            continue
                    task._queued = False
                    cx.waker = task
                    while True:
                        try:
                            value = leaf.poll(cx)
                        except BaseException as error:
                            leaf = throw(task, leaf, error)
                        else:
                            if value is pending:
                                task._leaf = leaf
                                break
                            leaf = task._context.run(send, task._coro, value)
                            value = None  # the loop must not keep what the task may let go
                        burst -= 1
                        if leaf is again or burst <= 0:
                            if burst <= 0:
                                steps = LOOK
                            task._leaf = leaf
                            task.wake()
                            break
                        cx.waker = task
                except StopIteration as stop:
                    task.finish(stop.value)
                except BaseException as error:
                    self._fail(task, error)
            self.current = None
            # From here as in `ObservedLoop.run`, but without a call where nothing is to do.
            if until is None:
                if not (tasks or deferred):
                    return
            elif until._outcome is not NOT_DONE:
                return
            if deferred:
                count = len(deferred)
                while count:
                    count -= 1
                    call, args = pop_deferred()
                    try:
                        call(*args)
                    except Exception as error:
                        self._report_call(call, error)
                del call, args  # the loop must not keep what they are of
                if deferred:
                    self._run_deferred()
            if steps >= LOOK or not ready:
                steps = 0
                self._end_turn()

    def _cancel_all(self) -> None:
        """Cancel the tasks that are left and wait until they have ended."""
        self.current = None
        for task in list(self.tasks):
            task.cancel()
        try:
            self._loop(None)
        except LostWakeup as error:
            _log.error("tasks caught their cancel and wait for what cannot come: %s", error)
            for task in list(self.tasks):
                task.abandon()
                if self._observed is not None:
                    self.instruments.finish(task)
            self.tasks.clear()

    def _run_deferred(self) -> None:
        # In rounds, so that a flush which has something delivered does both in one turn;
        # bounded, so that calls which put themselves off again cannot hold the turn.
        deferred = self.deferred
        for _ in range(_ROUNDS):
            for _ in range(len(deferred)):
                call, args = deferred.popleft()
                try:
                    call(*args)
                except Exception as error:
                    self._report_call(call, error)
            if not deferred:
                return

    def _report_call(self, call: Callable[..., object], error: Exception) -> None:
        self.report(getattr(call, "__qualname__", repr(call)), error)

    def _end_turn(self) -> None:
        """Fire the timers that are due, and sleep when nobody is ready."""
        timers = self.timers
        deadline = timers.next_deadline()
        if self.ready or self.deferred or self.high or self.low:
            if deadline is not None and deadline <= self.clock.now():
                timers.fire(self.clock.now())
            if self.external:
                cast(Reactor, self.reactor).park(0)
        elif deadline is not None or self.external:
            if deadline is None or deadline > self.clock.now():
                self.clock.idle(cast(Reactor, self.reactor), deadline)
            elif self.external:
                cast(Reactor, self.reactor).park(0)
            timers.fire(self.clock.now())
        elif self.tasks:
            raise deadlock(self)

    def _throw(self, task: Task[Any], leaf: Any, error: BaseException) -> Any:
        """Raise the error of a poll inside the coroutine; what it waits for next."""
        if type(error) is AttributeError and not hasattr(leaf, "poll"):
            error = not_a_future(leaf)
        else:
            _strip(error)
        try:
            return task._context.run(_THROW, task._coro, error)
        finally:
            del error  # or the traceback that it gets here would keep it alive

    def _fail(self, task: Task[Any], error: BaseException) -> None:
        _strip(error)
        ends = type(error) is not CancelledError and isinstance(error, _ENDS_THE_RUN)
        if ends and task._coro.cr_frame is not None:
            # Ctrl-C came in the midst of the executor's own work: the coroutine waits yet.
            task.abandon()
        task.fail(error)
        if ends:
            raise error


_OWN_NAMESPACES: Final = (
    Executor._loop.__globals__,
    ObservedLoop.run.__globals__,
    CheckedContext.poll.__globals__,
    Context.poll.__globals__,
)


def _strip(error: BaseException) -> None:
    """Take the executor's own frames off a traceback: their locals would keep the task
    alive, and the task the error. Those that have ended are emptied too, for the frames
    that they called still know them (since Python 3.12 that of a coroutine, too)."""
    traceback = error.__traceback__
    core, observed, checks, poll = _OWN_NAMESPACES
    caught = True  # the first frame is the one that has caught it, and is running
    while traceback is not None:
        frame = traceback.tb_frame
        namespace = frame.f_globals
        if (
            namespace is not core
            and namespace is not observed
            and namespace is not checks
            and namespace is not poll
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
    error.__traceback__ = traceback


def run(
    main: Coroutine[Any, Any, T],
    *,
    clock: Clock | None = None,
    checked: bool | None = None,
    instruments: Iterable[Instrument] = (),
    seed: int | None = None,
    dump_on_signal: bool | None = None,
) -> T:
    """Run the coroutine `main` on a new executor; its result, or its error.

    `clock`: where time comes from, real time by default. `checked`: enforce the laws of
    polling, by default as ``PINFUT_CHECKED`` says. `instruments`: told of every step.
    `seed`: choose at random among the ready tasks, on simulated time unless a clock is
    given; the same seed gives the same history. `dump_on_signal`: SIGUSR1 writes
    `Executor.dump` to stderr, by default as ``PINFUT_DUMP`` says.
    Raises as `Executor.run` does.
    """
    if clock is None and seed is not None:
        clock = VirtualClock()
    return Executor(
        clock=clock,
        checked=checked,
        instruments=instruments,
        schedule=None if seed is None else Seeded(seed),
        dump_on_signal=dump_on_signal,
    ).run(main)
