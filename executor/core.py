"""Executor: the parts put together. How tasks come to be, and how a run begins and ends.

`run` owns its thread; `open`, `turn` and `close` are for a loop that hosts it (docs/hosting.md)."""

from __future__ import annotations

import logging
import os
import weakref
from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from math import inf
from threading import get_ident
from types import CoroutineType
from typing import Any, Final, NoReturn, TypeVar, cast, final

from pinfut import coroutine, laws
from pinfut.combinators.selecting import restart_turns
from pinfut.core import accelerate
from pinfut.coroutine import Interrupt, native
from pinfut.executor.asyncgens import AsyncGens
from pinfut.executor.cleanup import CLEAN_UP, find_cleaner
from pinfut.executor.clock import MonotonicClock, VirtualClock
from pinfut.executor.contract import Clock, Owner, Poller, Priority, Reportable
from pinfut.executor.current import running
from pinfut.executor.doorbell import (
    Doorbell,
    RingingCalls,
    RingingReadyQueue,
    RingingTimers,
    RingingWatchedTimers,
)
from pinfut.executor.first_step import FirstSteps
from pinfut.executor.foreign import running_beside
from pinfut.executor.interrupt import CtrlC
from pinfut.executor.layers import forget_all
from pinfut.executor.loop import ONE_TURN, AllOf, Visit
from pinfut.executor.observed import ObservedLoop
from pinfut.executor.pollers import open_poller
from pinfut.executor.ready import LOOK, TURN, ReadyQueue, require_own_thread
from pinfut.executor.schedule import Schedule, Seeded
from pinfut.executor.task import Task
from pinfut.executor.timers import Timers
from pinfut.executor.trace.dump import DumpOnSignal, dump
from pinfut.executor.trace.instrument import Instrument, Instruments
from pinfut.executor.trace.watched import WatchedContext, WatchedTask, WatchedTimers
from pinfut.laws import ForeignWake, LostWakeup, ReenteredExecutor, checked_by_default
from pinfut.variables import copy_context

T = TypeVar("T")

_log = logging.getLogger("pinfut.executor")

GENERATIONS: Final = 16
"""How often what was started during the end of a run is ended in its turn, before it is closed."""

_opened: Final[weakref.WeakSet[Executor]] = weakref.WeakSet()
"""The executors that are open, in whatever thread."""


class TooManySteps(RuntimeError):
    """A run has taken the steps that it was given, and its main task is not done."""


@final
class Executor(FirstSteps):
    """Runs tasks in one thread. Use `run`; make one yourself to keep hold of it, or to host it.

    States::

        made ──open──▶ open ──turn, turn, ...──▶ open ──close──▶ made
          ▲                                                       │
          └──────────────────── run: all of it ───────────────────┘

    `doorbell`: called, without arguments, when something became ready between two turns; for
    those who call `turn`. The other arguments are those of `pinfut.executor.run`."""

    __slots__ = (
        "_asyncgens", "__weakref__", "_bell", "_dump_on_signal", "_failures", "_observed",
        "checked", "others",
    )  # fmt: skip

    def __init__(
        self,
        *,
        clock: Clock | None = None,
        checked: bool | None = None,
        instruments: Iterable[Instrument] = (),
        schedule: Schedule | None = None,
        dump_on_signal: bool | None = None,
        doorbell: Callable[[], object] | None = None,
    ) -> None:
        super().__init__()
        self.clock = MonotonicClock() if clock is None else clock
        self.checked = checked_by_default() if checked is None else checked
        self.instruments = Instruments(instruments)
        self._bell = None if doorbell is None else Doorbell(self, doorbell)
        self.watching = self.checked or bool(self.instruments) or schedule is not None
        self._make_queues(self._bell)
        if self.instruments.polls:
            self.cx = WatchedContext()
        self.task_type = WatchedTask if self.watching else Task
        # The loop that runs in place of the everyday one; None when nothing asks for it.
        self._observed = ObservedLoop(self, self.checked, schedule) if self.watching else None
        self._dump_on_signal = dump_on_signal  # None: as the environment says
        self._failures: weakref.WeakSet[Reportable] = weakref.WeakSet()
        self._asyncgens = AsyncGens(self)
        self.others: Iterable[str] = ()
        self.instruments.attach(self)

    def _make_queues(self, bell: Doorbell | None) -> None:
        queue = ReadyQueue if bell is None else RingingReadyQueue
        self.ready = queue(self, "normal")
        self.high, self.low = queue(self, "high"), queue(self, "low")
        self.deferred = deque() if bell is None else RingingCalls()
        if self.watching:
            watched = WatchedTimers if bell is None else RingingWatchedTimers
            self.timers = watched(self.instruments)
        else:
            self.timers = Timers() if bell is None else RingingTimers()
        if bell is not None:
            rings: list[Any] = [self.ready, self.high, self.low, self.deferred, self.timers]
            for one in rings:
                one.bell = bell

    # ---- what tasks use ----

    def spawn(
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        priority: Priority = "normal",
        owner: Owner | None = None,
    ) -> Task[T]:
        """Start `coro` as a task, with a copy of the context variables of here; it runs first in
        the next turn. `priority` is not its children's; `owner` is told when it ends. Raises
        TypeError for anything but a coroutine, and (and closes `coro`) ValueError for a priority
        that is none and ForeignWake in another thread."""
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
        if queue.asleep:
            try:
                require_own_thread(self, coro)
            except ForeignWake:
                coro.close()
                raise
        task = self.task_type(queue, coro, copy_context())
        self.tasks[task] = owner
        try:
            if self.watching:
                self.instruments.spawn(task)
            queue.append(task)
        except RecursionError:
            del self.tasks[task]
            raise
        return task

    def _queue(self, priority: Priority) -> ReadyQueue:
        for queue in (self.high, self.ready, self.low):
            if queue.priority == priority:
                return queue
        raise ValueError(f"a priority is 'high', 'normal' or 'low', not {priority!r}")

    def call_soon(self, call: Callable[..., object], *args: Any) -> None:
        """Have ``call(*args)`` run when this turn ends, after the tasks that are ready."""
        self.deferred.append((call, args))

    def now(self) -> float:
        """The time of this executor's clock, in seconds."""
        return self.clock.now()

    def dump(self) -> str:
        """Every task, what it is parked on and where: a tree, for people. At any time, also from a
        signal handler. Who spawned whom and since when it is parked is known of a watched
        executor."""
        return dump(self)

    def failed(self, error: Reportable) -> None:
        """Remember an error until somebody claims it. For tasks."""
        self._failures.add(error)

    # ---- hosted by another loop ----

    def open(self, *, hears_signals: bool = True) -> None:
        """Get ready for `turn`, in this thread: from here on until `close` the executor has
        descriptors of its own, and in the main thread, unless `hears_signals` is False, the
        wakeup descriptor of signals. Raises RuntimeError when it is open, and OSError, with
        nothing done, where the process may open no more."""
        if self.poller is not None:
            raise RuntimeError("this executor is open already; close() it first")
        try:
            self._open(hears_signals)
        except BaseException:
            self._give_back()
            raise

    def _open(self, hears_signals: bool = True) -> None:
        self.poller = open_poller(self)
        self.clean_ups_end = inf
        coroutine.find_cleaner = find_cleaner
        restart_turns()
        self.thread = get_ident()
        _opened.add(self)
        if hears_signals:
            self.poller.hear_signals()
        laws.opened(id(self), self.checked)

    def turn(self, timeout: float | None, steps: int | None = None) -> bool:
        """Run one turn: look at timers and descriptors, step what is ready, make the calls that
        were put off. Whether something is ready, so that another turn would not wait.

        `timeout`: with nothing ready, sleep for at most so many seconds of the clock; 0 does
        not sleep, and None sleeps until something comes, or returns at once when nothing can
        (without a doorbell that raises LostWakeup, if tasks are left). `steps`: go on turn after
        turn, without sleeping again, while something is ready, and stop after so many steps; a
        turn without one counts for 1, and a step that goes on with hundreds of futures that are
        ready at once for 64.

        Raises RuntimeError when the executor is not open, or open in another thread,
        ReenteredExecutor inside of a turn, and ValueError for what is not above 0."""
        if (timeout is not None and not timeout >= 0) or (steps is not None and steps < 1):
            raise ValueError(
                "a turn takes a timeout of 0 s or more, or None, and 1 step or more, not "
                f"timeout={timeout!r}, steps={steps!r}"
            )
        self._require_open()
        self._require_alone()
        if timeout == inf:
            timeout = None
        try:
            try:
                self._enter()
                if self._bell is not None and timeout is None and not self.timers:
                    poller = cast(Poller, self.poller)
                    if not poller.external or (poller.threads and poller.threads.stuck):
                        timeout = 0.0  # the host may still wake: nobody is lost
                visit = Visit(self, TURN if steps is None else steps)
                since = LOOK
                while True:
                    if since >= LOOK or not self.ready:
                        since = 0
                        self.look(None if self.ready else timeout)
                    most = visit.begin()
                    if steps is None:
                        visit.left = 0
                    since += self._run_turns(visit, most)
                    if self.deferred:
                        self.run_deferred()
                    more = bool(self.ready or self.deferred or self.high or self.low)
                    if visit.left <= 0 or not more:
                        return more
                    timeout = 0.0
            except BaseException:
                self._mend()
                raise
            finally:
                self._leave()
        finally:
            if running.inside:
                self._leave()  # again, for Ctrl-C has come in the middle of the first

    def run_until(self, until: Task[Any] | AllOf) -> None:
        """Look at timers and descriptors, then run turn after turn until `until` is done, in
        this thread from here on: for an event loop whose handles are entries of the ready
        queue. Raises as `turn` does, but for the thread."""
        if self.thread:
            self.thread = get_ident()
        self._require_open()
        self._require_alone()
        try:
            try:
                self._enter()
                self.look(0.0)
                self._run_turns(until, TURN)
                self.run_deferred()
            except BaseException:
                self._mend()
                raise
            finally:
                self._leave()
        finally:
            self._leave()  # again, as in `turn`

    def due(self) -> float | None:
        """In how many seconds the next turn is due: 0 when something is ready, None (and never
        inf) when only the doorbell or `fileno` can say."""
        if self.ready or self.deferred or self.high or self.low:
            return 0.0
        deadline = self.timers.next_deadline()
        if deadline is None or deadline == inf:
            return None
        return max(0.0, deadline - self.clock.now())

    def fileno(self) -> int:
        """A descriptor that is readable when a turn would find something to do that came from
        a descriptor or another thread. Raises OSError where the system has none."""
        self._require_open()
        assert self.poller is not None, "it is open"
        return self.poller.fileno()

    def close(self) -> None:
        """Cancel the tasks that are left, wait until they have ended, give everything back.
        A no-op when the executor is not open. Raises as `turn` does."""
        if not self.thread:
            return
        self._require_open()
        self._require_alone()
        try:
            try:
                self._enter()
                self._end(None)
            finally:
                self._release()
        finally:
            self._release()  # what an error or Ctrl-C has left of the first

    def _require_open(self) -> None:
        if self.thread != get_ident():
            raise RuntimeError(
                "this executor is open in another thread; use it there, or from_thread"
                if self.thread
                else "this executor is not open: call open() first"
            )

    def _require_alone(self) -> None:
        if running.inside:
            raise ReenteredExecutor(f"a turn cannot be run here: {_busy()}. Await instead")

    def _enter(self) -> None:
        """This is the executor of the thread from here on."""
        if self._bell is not None:
            self._bell.listening = False
            self.ready.asleep = self.high.asleep = self.low.asleep = False
        running.executor = self
        running.inside = True
        self._asyncgens.install()

    def _leave(self) -> None:
        """The undo of `_enter`; no step is under way any more. Idempotent."""
        self._asyncgens.restore()
        running.executor = None if running.host is None else running.host.runner
        self.clear_step()
        if self._bell is not None:
            self._bell.listening = True
            self.ready.asleep = self.high.asleep = self.low.asleep = True
        running.inside = False  # the last

    # ---- running ----

    def run(self, main: Coroutine[Any, Any, T], *, steps: int | None = None) -> T:
        """Run `main` and whatever it spawns; its result, or its error. When it ends, tasks that are
        left are cancelled and waited for.

        Ctrl-C cancels `main` and raises KeyboardInterrupt once it has ended; pressed again it is
        raised in `main` at once, and a third time it closes what is left. Raises ReenteredExecutor
        inside a running executor, RuntimeError inside a loop of asyncio or trio, LostWakeup when
        everybody is parked forever, and TooManySteps when `main` is not done after `steps` steps
        (as `turn` counts them)."""
        if not hasattr(main, "close") or not hasattr(main, "send"):
            raise TypeError(f"run takes a coroutine, not {main!r}: run(main()), with main async")
        if running.executor is not None:
            main.close()
            raise ReenteredExecutor(
                f"{main!r} cannot be run here: {_busy()}. "
                "Make its function async and await the coroutine, or spawn it"
            )
        if self.poller is not None:
            main.close()
            raise RuntimeError("this executor is open already; close() it first")
        beside = running_beside()
        if beside is not None:
            main.close()
            raise RuntimeError(
                f"{main!r} cannot be run here: a loop of {beside} runs in this thread, and would "
                f"stand still. Give it a thread, await {beside}.to_thread"
                f"{'.run_sync' * (beside == 'trio')}(lambda: run(main())), or in that loop "
                "'async with pinfut.guest():' and await it"
            )
        if steps is not None and steps < 1:
            main.close()
            raise ValueError(f"a run takes 1 step or more, not steps={steps!r}")
        ctrl_c = CtrlC(self, globals())
        dumps = DumpOnSignal(self)
        try:
            try:
                ctrl_c.take_over()
                dumps.take_over(self._dump_on_signal)
                self._open()
                self._enter()
                task = self.spawn(main, name="main")
                ctrl_c.listen(task)
                twice = False
                try:
                    if steps is None:
                        self._run_turns(task, TURN)
                    else:
                        self._run_steps(task, steps)
                except KeyboardInterrupt:
                    twice = ctrl_c.pressed
                    if twice and not task.done:
                        self._throw_first(task, KeyboardInterrupt)
                    raise
                finally:
                    self._end(steps, twice)
                ctrl_c.hold()
                if ctrl_c.pressed and isinstance(task.error(), CancelledError | None):
                    raise KeyboardInterrupt
                try:
                    return task.result()
                finally:
                    del task  # or its error would keep it, through the traceback, and it the error
            finally:
                self._end_run(main, dumps, ctrl_c)
        finally:
            # Again, for an error or an interrupt may have come in the middle of the first.
            self._end_run(main, dumps, ctrl_c)

    def _run_turns(self, until: Task[Any] | AllOf | Visit, most: int) -> int:
        try:
            if self._observed is None:
                return self.run_turns(until, most)
            return self._observed.run_turns(until, most)
        finally:
            del until  # as in `Loop.run_turns`

    def _throw_first(self, task: Task[Any], kind: type[BaseException]) -> None:
        """Raise `kind` in a task that waits, whatever shields it, before any other runs."""
        self._mend()
        if task.queued:
            task._queue.remove(task)
        task.leaf = Interrupt(task.leaf, kind)
        task.queued = True
        self.high.appendleft(task)
        try:
            self._run_turns(ONE_TURN, 1)
        except kind:
            return  # that it ended with it is what the caller knows

    def _run_steps(self, until: Task[Any] | AllOf, steps: int) -> None:
        """As `_run_turns`, for `steps` steps at most; then TooManySteps."""
        since = 0
        while True:
            took = self._run_turns(ONE_TURN, min(steps, TURN))
            steps -= max(1, took)
            if until.done:
                del until  # as in `Loop.run_turns`
                return
            if steps <= 0:
                ready = [*self.high, *self.ready, *self.low][:8]
                raise TooManySteps(
                    "the run has taken all its steps and is not done; ready are "
                    f"{', '.join(one.name for one in ready) or 'none'}, and {len(self.deferred)} "
                    "calls are put off. On virtual time a loop that never waits for anything else "
                    "never ends; or give it more steps"
                )
            since = self.after_turn(since + took)

    # ---- the end ----

    def _end_run(self, main: Coroutine[Any, Any, Any], dumps: DumpOnSignal, ctrl_c: CtrlC) -> None:
        """Give back all that a run has taken, Ctrl-C last. Idempotent, as `_release`."""
        ctrl_c.hold()
        self._release()
        dumps.give_back()
        main.close()  # if it was never spawned
        ctrl_c.give_back()

    def _end(self, steps: int | None, hurried: bool = False) -> None:
        """Have the tasks that are left end, `hurried` also those in a shield, and wait for the
        threads. In a process that was forked inside of a run both are the parent's."""
        if not self.thread:
            return
        patient = True
        try:
            self._end_tasks(steps, hurried)
        except KeyboardInterrupt:
            patient = False
            raise
        finally:
            if patient and self.poller is not None:
                self._abandon_tasks()  # before: the threads may wait for one
                self.poller.finish()

    def _end_tasks(self, steps: int | None, hurried: bool) -> None:
        """Cancel the tasks that are left and wait until they have ended; then those that they
        have started meanwhile, and the async generators that are left midway, and so on. What
        does not end is closed by `_release`."""
        self._mend()
        self.clean_ups_end = self.clock.now() + CLEAN_UP
        try:
            for _ in range(GENERATIONS):
                left = self.cancel_left(hurried)
                if left is None:
                    return
                if steps is None:
                    self._run_turns(left, TURN)
                else:
                    self._run_steps(left, steps)
                self.run_deferred()
            if self.tasks:
                _log.error(
                    "clean-ups start one another without end: %s; a task that is cancelled may "
                    "start others, and they are cancelled, too",
                    ", ".join([task.name for task in self.tasks][:8]),
                )
            elif self.deferred:
                call, _ = self.deferred[0]
                _log.error("the end was put off again and again, the last time by %r", call)
            self.deferred.clear()
        except (LostWakeup, TooManySteps) as error:
            kind = "wait for what cannot come" if isinstance(error, LostWakeup) else "go on"
            _log.error("tasks caught their cancel and %s: %s", kind, error)

    def cancel_left(self, hurried: bool = False) -> AllOf | None:
        """Cancel the tasks that are left, `hurried` also those in a shield, and start to close
        async generators. Which have to end now; None when nothing is left."""
        if not (self.tasks or self.deferred or self._asyncgens.close_all()):
            return None
        left = AllOf(self.tasks)
        for task, owner in list(self.tasks.items()):
            if hurried:
                task.interrupt()
            elif owner is not self._asyncgens:  # a clean-up goes on to its end
                task.cancel()
        return left

    def _mend(self) -> None:
        """Ctrl-C may have come midway: end the step, and put back what is ready."""
        self.clear_step()
        for queue in (self.high, self.low):
            lined_up = [e for e in self.ready if isinstance(e, Task) and e._queue is queue]
            queue.extendleft(reversed(lined_up))
            for task in lined_up:
                self.ready.remove(task)
        ready = {id(entry) for queue in (self.high, self.ready, self.low) for entry in queue}
        for task in self.tasks:
            if task.queued and id(task) not in ready:
                task._queue.append(task)

    def _release(self) -> None:
        """Close the tasks that are left, report the errors that nobody has claimed, and give
        back what `_open` has taken. Idempotent, and whole when it is called again after an error
        or Ctrl-C in the middle of it."""
        if self.thread:
            self._abandon_tasks()
            for failure in list(self._failures):
                failure.report()
            cast(Poller, self.poller).close()
            self._abandon_tasks()  # what was started meanwhile
        self._give_back()
        if running.executor is self:
            self._leave()

    def _abandon_tasks(self) -> None:
        """Nothing runs any more: close the tasks that are left, and take back what would run."""
        while self.tasks:  # it ends: what one starts as it is closed never runs
            task = next(iter(self.tasks))
            task.abandon()
            task.fail(CancelledError("the run has ended, and the task was closed where it waited"))
            if self.watching:
                self.instruments.finish(task)
        for queue in (self.high, self.ready, self.low):
            while queue:
                entry = queue.popleft()
                entry.queued = isinstance(entry, Task)  # one that is done stays so
        self.deferred.clear()
        self.timers.clear()

    def _give_back(self) -> None:
        if self.poller is not None:
            self.poller.close()
        self.thread = 0  # first: while it is set, there is a poller
        self.poller = None
        _opened.discard(self)
        laws.closed(id(self))

    def forked(self) -> None:
        """This process was forked while the executor was open: it has no part in the run."""
        poller, self.poller = self.poller, cast(Poller, _Parents())
        self.thread = 0
        if poller is not None:
            poller.leave()


@final
class _Parents:
    """In place of the poller, in a child that was forked while the executor was open."""

    __slots__ = ()

    is_closed = True
    threads = None

    def hand_over(self, call: Callable[..., object], *args: Any) -> bool:
        return False

    def close(self) -> None:
        """A no-op: there is nothing of its own."""

    def __getattr__(self, name: str) -> NoReturn:
        raise RuntimeError(
            "this process was forked inside of a run, which goes on in its parent only: call "
            "run(...) for a new one here, and end with os._exit"
        )


def _start_clean() -> None:
    """In a forked child: no executor runs here, and nothing of the process is taken."""
    running.executor = running.host = None
    running.inside = False
    laws.none_open()
    for executor in list(_opened):
        executor.forked()
    _opened.clear()
    forget_all()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_clean)


def _busy() -> str:
    """Why nothing can be run in this thread."""
    assert running.executor is not None, "asked when one runs"
    current = running.executor.current
    where = "" if current is None else f", in task {current.name!r} at {current.where()}"
    return f"an executor runs in this thread already{where}"


def run(
    main: Coroutine[Any, Any, T],
    *,
    clock: Clock | None = None,
    checked: bool | None = None,
    instruments: Iterable[Instrument] = (),
    seed: int | None = None,
    steps: int | None = None,
    dump_on_signal: bool | None = None,
) -> T:
    """Run the coroutine `main` on a new executor; its result, or its error.

    `clock`: where time comes from, real time by default. `checked`: enforce the laws of
    polling, by default as ``PINFUT_CHECKED`` says. `instruments`: told of every step.
    `seed`: choose at random among the ready tasks, on simulated time unless a clock is
    given; the same seed gives the same history. `steps`: raise TooManySteps when `main` is not
    done after so many. `dump_on_signal`: SIGUSR1 writes `Executor.dump` to stderr, by default
    as ``PINFUT_DUMP`` says. Raises as `Executor.run` does."""
    if clock is None and seed is not None:
        clock = VirtualClock()
    return Executor(
        clock=clock,
        checked=checked,
        instruments=instruments,
        schedule=None if seed is None else Seeded(seed),
        dump_on_signal=dump_on_signal,
    ).run(main, steps=steps)


accelerate(globals())
