"""guest: an executor for the length of a block in a running program of asyncio, uvloop or trio.

A visit is so many steps of what is ready. The host makes one when the doorbell has rung, when the
next deadline has come, and when the poller's descriptor is readable::

    made ──enter──▶ open ──visits──▶ open ──leave──▶ ending ──visits, all have ended──▶ closed
"""

from __future__ import annotations

import asyncio
import sys
import time
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from concurrent.futures import CancelledError as CancelledElsewhere
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from contextvars import copy_context
from functools import partial
from math import inf
from types import SimpleNamespace
from typing import Any, Final, NoReturn, TypeVar, cast, final

from pinfut.executor.contract import Owner, Poller
from pinfut.executor.core import GENERATIONS, Executor
from pinfut.executor.current import running
from pinfut.executor.doorbell import Doorbell
from pinfut.executor.foreign import running_beside
from pinfut.executor.hosts.across import AsyncioHost, AsyncioTasks, Host, Parked, in_host
from pinfut.executor.loop import AllOf
from pinfut.executor.task import Task
from pinfut.executor.trace.instrument import Instrument
from pinfut.future import set_hosted
from pinfut.laws import LostWakeup

T = TypeVar("T")

STEPS: Final = 64
"""The most steps of a visit."""

AT_ONCE: Final = 4
"""Of these, those of a visit that a task of the host's makes itself."""


@final
class HostClock:
    """The host's time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now

    def idle(self, poller: Poller, deadline: float | None) -> NoReturn:
        raise LostWakeup("the host's loop runs no more, and this waited for what comes in it")


class Guest(Host):
    """A host, and the visits that it makes. `begin` has them made, `leave` ends that."""

    runner: Executor
    body: AbstractContextManager[object] = nullcontext()  # about the body of the block
    error: BaseException | None = None  # what the end of the block has to raise
    ring: Callable[[], None]  # have a visit made soon
    _visit_here: Callable[[], None]  # make one in a task of the host's, which is not current then

    def __init__(self, now: Callable[[], float], options: dict[str, Any]) -> None:
        self.runner = Executor(clock=HostClock(now), doorbell=self.ring, **options)
        self._ending: Parked | None = None  # who waits for visits, in the end
        self._bell = cast(Doorbell, self.runner._bell)
        self._context = copy_context()
        # How many steps the tasks of the host's may make themselves before the host's next visit.
        self._left = STEPS

    def visit(self) -> None:
        """Make one."""
        self._left = STEPS
        self._visit(STEPS)

    def _visit(self, steps: int) -> None:
        """Make one of so many steps, and see to the next."""
        try:
            self.runner.turn(0, steps=steps)
        finally:
            if self._ending is not None:
                self._ending.wake()

    def begin_task(self, coro: Coroutine[Any, Any, T], owner: Owner) -> Task[T]:
        # When nobody waits for a visit, this task of the host's makes one: a round less.
        runner, bell = self.runner, self._bell
        if self._left <= 0 or not bell.listening:
            return runner.spawn(coro, owner=owner)
        self._left -= AT_ONCE
        bell.listening = False
        try:
            task = runner.spawn(coro, owner=owner)
            self._context.run(self._visit_here)
        finally:
            bell.listening = True
        return task

    async def end(self) -> None:
        """Cancel what is left, and what that starts, and wait; the rest is closed at the end."""
        self._ending = ending = Parked()
        poller = cast(Poller, self.runner.poller)
        for _ in range(GENERATIONS):
            left = self.runner.cancel_left()
            if left is None and not poller.working:
                return
            ending.woken = False
            self.runner.call_soon(int)  # so that a visit is made, with what was put off
            over = partial(_over, ending, left, poller)
            with self.shield():
                self.error = await self.whole(over, ending) or self.error


def _over(ending: Parked, left: AllOf | None, poller: Poller) -> bool:
    return ending.woken and (left is None or left.done) and not poller.working


@final
class AsyncioGuest(Guest, AsyncioHost):
    """In a loop of asyncio's, or one that keeps to its interface."""

    def __init__(self, options: dict[str, Any]) -> None:
        self.loop = loop = asyncio.get_running_loop()
        # A loop in Python may have its own time; uvloop's stands still, and knows milliseconds.
        exact = isinstance(loop, asyncio.BaseEventLoop)
        super().__init__(loop.time if exact else time.monotonic, options)
        self.runner.others = AsyncioTasks(loop)
        self._least = 0.0 if exact else 0.001
        self._soon: asyncio.Handle | None = None  # Invariant: None, or what the loop will call
        self._timer: asyncio.TimerHandle | None = None
        self._when = inf

    def ring(self) -> None:
        if self._soon is None:
            self._soon = self.loop.call_soon(self.visit, context=self._context)

    def visit(self) -> None:
        self._soon = None
        super().visit()

    def _visit(self, steps: int) -> None:
        try:
            super()._visit(steps)
        finally:
            due = self.runner.due()
            if due == 0:
                self.ring()
            # One that comes too early costs a visit; to set one for each deadline would cost more.
            elif due is not None and (when := self.runner.now() + due) < self._when:
                if self._timer is not None:
                    self._timer.cancel()
                self._when, due = when, max(due, self._least)
                self._timer = self.loop.call_later(due, self._time, context=self._context)

    def _visit_here(self) -> None:
        tasks: Any = asyncio.tasks
        task = asyncio.current_task(self.loop)
        if task is not None:
            tasks._leave_task(self.loop, task)
        try:
            self._visit(AT_ONCE)
        finally:
            if task is not None:
                tasks._enter_task(self.loop, task)

    def _time(self) -> None:
        self._timer, self._when = None, inf
        self.visit()

    def begin(self) -> None:
        self.loop.add_reader(self.runner.fileno(), self.visit)

    async def leave(self) -> None:
        self.loop.remove_reader(self.runner.fileno())
        for handle in (self._soon, self._timer):
            if handle is not None:
                handle.cancel()


@final
class TrioGuest(Guest):
    """In trio. Two system tasks make the visits, which no cancel of the program's and no Ctrl-C
    reaches: one sleeps until the doorbell or a deadline, the other waits for the descriptor."""

    # trio's own Cancelled says that who waits is cancelled, and trio alone makes one.
    gave_up = CancelledElsewhere

    def __init__(self, options: dict[str, Any]) -> None:
        import trio
        from trio._core._run import GLOBAL_RUN_CONTEXT

        self.api = trio
        super().__init__(trio.current_time, options)
        self._running = GLOBAL_RUN_CONTEXT
        self.body = self._body = trio.CancelScope()
        self._scope = trio.CancelScope()
        self._alarm = trio.CancelScope()
        self.shield = partial(trio.CancelScope, shield=True)
        self._rouse: Callable[[], object] = int  # ends the sleep of `_visits`
        self._gone = Parked()
        trio.lowlevel.enable_ki_protection(self.begin_task)

    def ring(self) -> None:
        self._rouse()

    def _visit(self, steps: int) -> None:
        # No public word for it: in a turn no task of trio's is current, so none is acted on.
        running = self._running
        task = running.task
        del running.task
        try:
            super()._visit(steps)
        except BaseException as error:
            self.error = error
            self._body.cancel()
        finally:
            running.task = task
        due = self.runner.timers.next_deadline()
        when = inf if due is None else due
        if when != self._alarm.deadline:
            self._alarm.deadline = when

    def _visit_here(self) -> None:
        self._visit(AT_ONCE)
        if self.runner.due() == 0:
            self.ring()

    async def _visits(self) -> None:
        lowlevel = self.api.lowlevel
        with self._scope:
            async with self.api.open_nursery() as nursery:
                nursery.start_soon(lowlevel.enable_ki_protection(self._listens))
                while True:
                    with self.api.CancelScope() as self._alarm:
                        while True:
                            self.visit()
                            if self.runner.due() == 0:
                                await lowlevel.checkpoint()
                            else:
                                self._rouse, roused = self.once()
                                await roused
        self._gone.wake()

    async def _listens(self) -> None:
        while True:
            await self.api.lowlevel.wait_readable(self.runner.fileno())
            self.visit()
            if self.runner.due() == 0:
                self.ring()

    def begin(self) -> None:
        self.api.lowlevel.spawn_system_task(self._visits, name="pinfut.guest")

    async def leave(self) -> None:
        self._scope.cancel()
        with self.shield():
            await self.whole(lambda: self._gone.woken, self._gone)

    def once(self) -> tuple[Callable[[], object], Awaitable[object]]:
        # As an Event of trio's, but for one waiter, who is there at once.
        lowlevel = self.api.lowlevel
        waiting = [lowlevel.current_task()]

        def tell() -> None:
            if waiting:
                lowlevel.reschedule(waiting.pop())

        def aborted(_: object) -> object:
            waiting.clear()
            return lowlevel.Abort.SUCCEEDED

        return tell, lowlevel.wait_task_rescheduled(aborted)

    def start(self, awaitable: Awaitable[Any], tell: Callable[[], object]) -> Any:
        from outcome import Error, Outcome, Value

        scope = self.api.CancelScope()
        handle = SimpleNamespace(cancel=scope.cancel)
        handle.result = lambda: vars(handle).pop("outcome").unwrap()

        async def runs() -> None:
            result: Outcome[Any] = Error(CancelledError())  # when the scope was cancelled
            try:
                with scope:
                    result = Value(await awaitable)
            except BaseException as error:
                result = Error(error)
            handle.outcome = result
            del result  # or an error that it has, and this frame, keep each other
            tell()

        self.api.lowlevel.spawn_system_task(runs, name=repr(awaitable), context=copy_context())
        return handle


@asynccontextmanager
async def guest(
    *, checked: bool | None = None, instruments: Iterable[Instrument] = ()
) -> AsyncIterator[Executor]:
    """Run pinfut in the running loop of asyncio, uvloop or trio: ``async with guest():``.

    Gives the executor, which `spawn`, `from_host` and every future of pinfut's find by themselves
    in the tasks of this loop. The end cancels the tasks that are left and waits for them.
    `checked` and `instruments` are as `run` takes them. Raises RuntimeError in a task of pinfut's,
    inside of another guest in this thread, and where no loop runs.

    On pinfut's own loop this gives the loop's executor, and its tasks go on to the end of the
    loop. There `checked` and `instruments` are refused (RuntimeError)."""
    own = in_host()
    if own is not None and own.is_run:
        if checked not in (None, own.runner.checked) or tuple(instruments):
            raise RuntimeError(
                "this is pinfut's own loop, which has an executor already: give checked and "
                "instruments to new_event_loop"
            )
        yield cast(Executor, own.runner)
        return
    if running.executor is not None:
        raise RuntimeError(
            "an executor runs in this thread: in a guest the tasks of its loop share it, and in a "
            "run there is no need of one"
        )
    trio = sys.modules.get("trio")
    in_trio = trio is not None and trio.lowlevel.in_trio_task()
    if not in_trio and running_beside() is None:
        raise RuntimeError("no loop runs here that could have a guest; use pinfut.executor.run")
    host = (TrioGuest if in_trio else AsyncioGuest)(
        {"checked": checked, "instruments": instruments}
    )
    host.runner.open()
    running.host, running.executor = host, host.runner
    set_hosted(id(host), True)
    try:
        host.begin()
        try:
            with host.body:
                yield host.runner
        finally:
            try:
                await host.end()
            finally:
                await host.leave()
    finally:
        running.host = running.executor = None
        set_hosted(id(host), False)
        host.runner.close()
        if host.error is not None:
            raise host.error
